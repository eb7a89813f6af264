//! The decisions in force at the LAPI, as far as they were told.
//!
//! A network may have several, of different origins and ends. Asked for it (`dedup=false`), the LAPI tells each of them and
//! each deletion; versions without that tell the longest alone, and a deletion may then carry the id of one that was never
//! told. So a deletion is matched by network; the id only says which of several it is.

use std::{
    collections::{BTreeMap, HashSet},
    ops::RangeInclusive,
};

use couic_common::Cidr;

use crate::{
    decision::{Ban, Id},
    names::{Reason, Tag},
};

/// The most deletions that are remembered, for a full compare's time.
const MOST_DELETED: usize = 1 << 20;

/// What is known of a decision.
#[derive(Clone, Copy, Debug)]
struct Known {
    until: u64,
    tag: Tag,
    reason: Reason,
}

/// What a deletion was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// A decision that was in force is not any more.
    Done,
    /// It was told before, as the LAPI does.
    Repeated,
    /// Nothing is known of its network.
    Unknown,
    /// There are decisions for its network, but it is not one of them. With a LAPI that tells only the longest, they are
    /// gone; otherwise it was one that came and went between two pulls. A full pull will tell.
    Doubtful,
}

/// What a network is to be banned for: the latest end of the decisions with one tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) tag: Tag,
    pub(crate) until: u64,
    pub(crate) reason: Reason,
}

/// All decisions.
#[derive(Debug)]
pub(crate) struct Decisions {
    all: BTreeMap<Id, Known>,
    /// The ids of deletions since the last full pull, and since the one before it.
    deleted: [HashSet<i64>; 2],
    /// By how many seconds the end of one decision may seem to differ: answers take time.
    slack: u64,
    most: usize,
}

impl Decisions {
    pub(crate) fn new(slack: u64, most: usize) -> Self {
        Self {
            all: BTreeMap::new(),
            deleted: Default::default(),
            slack,
            most,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Takes one that is told. False if there is no room.
    pub(crate) fn insert(&mut self, ban: &Ban) -> bool {
        let told = Known {
            until: ban.until,
            tag: ban.tag,
            reason: ban.reason,
        };
        let slack = self.slack;
        if let Some(known) = self.all.get_mut(&ban.id) {
            let until = if known.until.abs_diff(told.until) <= slack {
                known.until
            } else {
                told.until
            };
            *known = Known { until, ..told };
            return true;
        }
        if self.all.len() >= self.most {
            return false;
        }
        self.all.insert(ban.id, told);
        true
    }

    /// Takes a deletion.
    pub(crate) fn delete(&mut self, id: Id) -> Deletion {
        if self.all.remove(&id).is_some() {
            if self.deleted[0].len() < MOST_DELETED {
                self.deleted[0].insert(id.id);
            }
            return Deletion::Done;
        }
        if self.deleted.iter().any(|ids| ids.contains(&id.id)) {
            return Deletion::Repeated;
        }
        if self.has(id.cidr) {
            Deletion::Doubtful
        } else {
            Deletion::Unknown
        }
    }

    /// Puts what a full pull told in place of everything. Networks that may differ are handed to `touched`.
    pub(crate) fn replace(&mut self, bans: &[Ban], mut touched: impl FnMut(Cidr)) {
        let old = std::mem::take(&mut self.all);
        for ban in bans {
            if let Some(known) = old.get(&ban.id) {
                self.all.insert(ban.id, *known);
            }
            self.insert(ban);
            touched(ban.id.cidr);
        }
        old.keys().for_each(|id| touched(id.cidr));
        let [new, older] = &mut self.deleted;
        *older = std::mem::take(new);
    }

    /// Whether there is a decision for this network.
    pub(crate) fn has(&self, cidr: Cidr) -> bool {
        self.all.range(range(cidr)).next().is_some()
    }

    /// What this network is to be banned for at `now`.
    pub(crate) fn wanted(&self, cidr: Cidr, now: u64) -> Vec<Wanted> {
        let mut all: Vec<Wanted> = Vec::new();
        for known in self.all.range(range(cidr)).map(|(_, known)| known) {
            if known.until <= now {
                continue;
            }
            let one = Wanted {
                tag: known.tag,
                until: known.until,
                reason: known.reason,
            };
            match all.iter_mut().find(|other| other.tag == one.tag) {
                Some(other) if other.until < one.until => *other = one,
                Some(_) => {}
                None => all.push(one),
            }
        }
        all
    }

    /// All networks, each at least once.
    pub(crate) fn networks(&self) -> impl Iterator<Item = Cidr> {
        self.all.keys().map(|id| id.cidr)
    }
}

fn range(cidr: Cidr) -> RangeInclusive<Id> {
    let id = |id| Id { cidr, id };
    id(i64::MIN)..=id(i64::MAX)
}
