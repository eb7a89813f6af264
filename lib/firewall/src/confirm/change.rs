//! One thing that an unconfirmed change has touched, before and after.

use couic_common::{Cidr, ClientName, Policy, RuleKey, SetName, Tag};
use serde::{Deserialize, Serialize};

use crate::rules::{Claim, ClaimChange, ClaimId, Owner};

/// A set's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The set's policy.
    pub policy: Policy,
    /// The set's name.
    pub set: SetName,
    /// Its text; None = there was no file.
    pub before: Option<String>,
    /// The same afterwards.
    pub after: Option<String>,
}

/// The entries of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetChange {
    /// The set's policy.
    pub policy: Policy,
    /// The set's name.
    pub set: SetName,
    /// Its entries in force, in order; none if the set is not in force.
    pub before: Vec<Cidr>,
    /// The same afterwards.
    pub after: Vec<Cidr>,
}

/// A change, with the state before it, for undoing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A claim of a client or a peer.
    Claim(ClaimChange),
    /// A set's file.
    File(FileChange),
    /// A set's rules in force.
    Set(SetChange),
}

/// Identifies the thing that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Claim(RuleKey, ClaimId),
    File(Policy, SetName),
    Set(Policy, SetName),
}

impl Key {
    /// Its name in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Claim(key, _) => key.to_string(),
            Self::File(policy, set) => format!("file of set {policy}/{set}"),
            Self::Set(policy, set) => format!("rules of set {policy}/{set}"),
        }
    }

    /// The set concerned.
    pub(super) fn set(&self) -> Option<String> {
        match self {
            Self::Claim(..) => None,
            Self::File(policy, set) | Self::Set(policy, set) => Some(format!("{policy}/{set}")),
        }
    }
}

impl Change {
    pub(super) fn key(&self) -> Key {
        match self {
            Self::Claim(c) => Key::Claim(c.key, c.claim.clone()),
            Self::File(c) => Key::File(c.policy, c.set.clone()),
            Self::Set(c) => Key::Set(c.policy, c.set.clone()),
        }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        256 + match self {
            Self::Claim(c) => {
                let claims = c.before.iter().chain(&c.after);
                let reasons = claims.filter_map(|claim| claim.reason.as_ref());
                reasons.map(|reason| reason.as_str().len()).sum()
            }
            Self::File(c) => text(&c.before) + text(&c.after),
            Self::Set(c) => (c.before.len() + c.after.len()) * size_of::<Cidr>(),
        }
    }

    /// Whether nothing was changed in the end.
    pub(super) fn is_void(&self) -> bool {
        match self {
            Self::Claim(c) => c.is_void(),
            Self::File(c) => c.before == c.after,
            Self::Set(c) => c.before == c.after,
        }
    }

    /// Whether this begins with the state that `earlier` left, without another change in between.
    pub(super) fn continues(&self, earlier: &Self) -> bool {
        match (earlier, self) {
            (Self::Claim(e), Self::Claim(l)) => Claim::alike(&e.after, &l.before),
            (Self::File(e), Self::File(l)) => e.after == l.before,
            (Self::Set(e), Self::Set(l)) => e.after == l.before,
            _ => false,
        }
    }

    /// From the state before `earlier` to the state after this.
    #[must_use]
    pub(super) fn beginning_with(mut self, earlier: &Self) -> Self {
        match (earlier, &mut self) {
            (Self::Claim(e), Self::Claim(l)) => l.before.clone_from(&e.before),
            (Self::File(e), Self::File(l)) => l.before.clone_from(&e.before),
            (Self::Set(e), Self::Set(l)) => l.before.clone_from(&e.before),
            _ => {}
        }
        self
    }

    /// Both as one if there was no other change in between; else this alone.
    #[must_use]
    pub(super) fn after(self, earlier: Option<&Self>) -> Self {
        match earlier {
            Some(earlier) if self.continues(earlier) => self.beginning_with(earlier),
            _ => self,
        }
    }

    /// The same thing as it is now, unchanged.
    #[must_use]
    pub(super) fn voided(mut self) -> Self {
        match &mut self {
            Self::Claim(c) => c.after.clone_from(&c.before),
            Self::File(c) => c.after.clone_from(&c.before),
            Self::Set(c) => c.after.clone_from(&c.before),
        }
        self
    }
}

/// A [`ClaimChange`] as it is written.
#[derive(Serialize, Deserialize)]
pub(super) struct ClaimLine {
    policy: Policy,
    cidr: Cidr,
    /// The peer whose claim it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peer: Option<ClientName>,
    /// The client whose claim it is. Without a peer and a client it is an unknown client's: clients were not told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<ClientName>,
    /// The label of the client's claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<Tag>,
    before: Option<Claim>,
    after: Option<Claim>,
}

impl From<ClaimChange> for ClaimLine {
    fn from(change: ClaimChange) -> Self {
        let RuleKey { policy, cidr } = change.key;
        let ClaimId { owner, tag } = change.claim;
        let (peer, client) = match owner {
            Owner::Peer(name) => (Some(name), None),
            Owner::Client(name) => (None, Some(name)),
            // Claims of sets are changed by their files, never one by one.
            Owner::Api | Owner::Set(_) => (None, None),
        };
        Self {
            policy,
            cidr,
            peer,
            client,
            tag,
            before: change.before,
            after: change.after,
        }
    }
}

impl From<ClaimLine> for ClaimChange {
    fn from(line: ClaimLine) -> Self {
        let client = line.client.map_or(Owner::Api, Owner::Client);
        let owner = line.peer.map_or(client, Owner::Peer);
        let owned = |claim: Claim| Claim {
            owner: owner.clone(),
            ..claim
        };
        Self {
            key: RuleKey::new(line.policy, line.cidr),
            before: line.before.map(owned),
            after: line.after.map(owned),
            claim: ClaimId::new(owner, line.tag),
        }
    }
}
