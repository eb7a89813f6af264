//! The differences between a state file and the daemon, in the order in which they are shown.

use std::collections::BTreeMap;

use couic_common::{Cidr, ClientLimits, ClientName, Group, Policy, SetName, Tag};
use serde::Serialize;

use super::wanted::{Claim, WantedClient};

/// What is done with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Add,
    Change,
    Delete,
}

impl Action {
    pub(super) const fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Change => '~',
            Self::Delete => '-',
        }
    }

    fn of<T>(old: Option<&T>, new: Option<&T>) -> Self {
        match (old, new) {
            (None, _) => Self::Add,
            (Some(_), Some(_)) => Self::Change,
            (Some(_), None) => Self::Delete,
        }
    }
}

/// A claim that differs: one of the two is missing if it is added or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleChange {
    pub(super) policy: Policy,
    pub(super) cidr: Cidr,
    pub(super) tag: Option<Tag>,
    pub(super) old: Option<Claim>,
    pub(super) new: Option<Claim>,
}

/// A set that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetChange {
    pub(super) policy: Policy,
    pub(super) name: SetName,
    pub(super) kind: SetKind,
}

/// How it differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SetKind {
    Add {
        entries: Vec<Cidr>,
    },
    /// `total` is what the file of the set has now; None if it cannot be read.
    Change {
        entries: Vec<Cidr>,
        added: usize,
        removed: usize,
        total: Option<usize>,
    },
    /// The file is as declared, the rules are not: so many are missing, so many too many.
    Rules {
        entries: Vec<Cidr>,
        missing: usize,
        extra: usize,
    },
    Delete {
        total: u64,
    },
}

/// A client that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientChange {
    pub(super) name: ClientName,
    pub(super) old: Option<(Group, Option<ClientLimits>)>,
    pub(super) new: Option<WantedClient>,
}

/// All differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) rules: Vec<RuleChange>,
    pub(super) sets: Vec<SetChange>,
    pub(super) clients: Vec<ClientChange>,
    /// Declared rules that have expired, and are left out.
    pub(super) expired: u64,
}

impl RuleChange {
    pub(super) fn action(&self) -> Action {
        Action::of(self.old.as_ref(), self.new.as_ref())
    }
}

impl SetChange {
    pub(super) fn action(&self) -> Action {
        match self.kind {
            SetKind::Add { .. } => Action::Add,
            SetKind::Change { .. } | SetKind::Rules { .. } => Action::Change,
            SetKind::Delete { .. } => Action::Delete,
        }
    }

    /// Whether sources become protected or dropped by it, rather than the contrary alone.
    pub(super) fn gains(&self) -> bool {
        match self.kind {
            SetKind::Add { .. } => true,
            SetKind::Change { added, .. } => added > 0,
            SetKind::Rules { missing, .. } => missing > 0,
            SetKind::Delete { .. } => false,
        }
    }
}

impl ClientChange {
    pub(super) fn action(&self) -> Action {
        Action::of(
            self.old.as_ref().map(|_| &()),
            self.new.as_ref().map(|_| &()),
        )
    }
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.sets.is_empty() && self.clients.is_empty()
    }

    /// How many rules (0), sets (1) and clients (2) are added, changed and deleted.
    pub(super) fn by_action(&self) -> BTreeMap<(usize, Action), u64> {
        let mut counts: BTreeMap<(usize, Action), u64> = BTreeMap::new();
        let rules = self.rules.iter().map(|c| (0, c.action()));
        let sets = self.sets.iter().map(|c| (1, c.action()));
        let clients = self.clients.iter().map(|c| (2, c.action()));
        for key in rules.chain(sets).chain(clients) {
            *counts.entry(key).or_default() += 1;
        }
        counts
    }
}
