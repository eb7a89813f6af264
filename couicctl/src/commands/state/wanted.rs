//! What a state file declares, and what it owns: all that a command may change.
//!
//! What the file names is to be as the file says. What it does not name is left alone, unless a pattern of `[owns]` covers
//! it: that is deleted. Of rules, the claims of this token's client alone are ever looked at, by tag: those of other
//! clients, peers and sets on the same network stay whatever the file says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use couic_common::{
    Cidr, ClientLimits, ClientName, Group, Policy, Reason, SetName, Tag, TagPattern, glob_matches,
};

/// A claim of the client: until when (Unix seconds, 0 = never), and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) expiration: u64,
    pub(super) reason: Option<Reason>,
}

/// A client has one claim on a network for each tag.
pub(super) type Key = (Cidr, Option<Tag>);

/// Declared rules of a policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// The tags that the file names.
    pub(super) tags: BTreeSet<Option<Tag>>,
    /// Further tags, whose rules are deleted.
    pub(super) owned: Option<TagPattern>,
    pub(super) claims: BTreeMap<Key, Claim>,
}

impl Rules {
    /// Whether claims with this tag are the file's.
    pub(super) fn owns(&self, tag: &Option<Tag>) -> bool {
        let matches = |owned: &TagPattern| owned.matches(tag.as_ref().map(Tag::as_str));
        self.tags.contains(tag) || self.owned.as_ref().is_some_and(matches)
    }

    /// Whether rules of this policy are the file's at all.
    pub(super) fn is_declared(&self) -> bool {
        !self.tags.is_empty() || self.owned.is_some()
    }

    /// Leaves out what has expired by now, and counts it.
    pub(super) fn expire(&mut self, now: u64) -> u64 {
        let before = self.claims.len();
        let lasts = |claim: &Claim| claim.expiration == 0 || claim.expiration > now;
        self.claims.retain(|_, claim| lasts(claim));
        (before - self.claims.len()) as u64
    }
}

/// Declared sets, with their networks.
#[derive(Clone, Debug, Default)]
pub(super) struct Sets {
    pub(super) named: BTreeMap<(Policy, SetName), BTreeSet<Cidr>>,
    /// Patterns over POLICY/NAME of sets that are deleted.
    pub(super) owned: Vec<String>,
}

impl Sets {
    pub(super) fn owns(&self, policy: Policy, name: &SetName) -> bool {
        let set = format!("{policy}/{name}");
        self.owned.iter().any(|pattern| glob_matches(pattern, &set))
    }

    pub(super) fn is_declared(&self) -> bool {
        !self.named.is_empty() || !self.owned.is_empty()
    }
}

/// A declared client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedClient {
    pub(super) group: Group,
    pub(super) limits: Option<ClientLimits>,
    /// Where the token of a new client goes.
    pub(super) token_file: Option<PathBuf>,
    /// The user that this file belongs to.
    pub(super) owner: Option<String>,
    /// The line of the file.
    pub(super) line: usize,
}

/// Declared clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    pub(super) named: BTreeMap<ClientName, WantedClient>,
    /// Patterns over names of clients that are deleted.
    pub(super) owned: Vec<String>,
}

impl Clients {
    pub(super) fn owns(&self, name: &ClientName) -> bool {
        let mut owned = self.owned.iter();
        owned.any(|pattern| glob_matches(pattern, name.as_str()))
    }

    pub(super) fn is_declared(&self) -> bool {
        !self.named.is_empty() || !self.owned.is_empty()
    }
}

/// A state file.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// The client that the file is for.
    pub(super) client: Option<ClientName>,
    pub(super) rules: BTreeMap<Policy, Rules>,
    pub(super) sets: Sets,
    pub(super) clients: Clients,
}

impl Wanted {
    /// Leaves out rules that have expired by now, and counts them.
    pub(super) fn expire(&mut self, now: u64) -> u64 {
        self.rules.values_mut().map(|rules| rules.expire(now)).sum()
    }

    /// Whether entries of this policy have to be read.
    pub(super) fn concerns(&self, policy: Policy) -> bool {
        let rules = self.rules.get(&policy);
        let mut sets = self.sets.named.keys();
        rules.is_some_and(Rules::is_declared) || sets.any(|(of, _)| *of == policy)
    }
}
