//! Decisions on one side, claims on the other, and what has to change: without clock, network and threads.
//!
//! Guarantees:
//! - After a full pull that was applied, each network with a decision in force has a claim under the tag of each of its
//!   origins, which ends with the last of that origin's decisions and the grace.
//! - A claim is released only because a deletion was told, or a full answer lacks it. A full answer that lacks more than
//!   half of what is claimed, without telling deletions, releases nothing until another one says the same, at least
//!   [`Rules::doubt_lasts`] later; one without any decision never does. What is not released runs to its end.

use std::collections::{BTreeSet, HashSet};

use couic_common::Cidr;

use crate::{
    claims::{Change, Claims, Found, Key, Refused},
    cover::Cover,
    decision::{Ban, Id},
    known::{Decisions, Deletion, Wanted},
};

/// The times and bounds of a model, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How long a claim outlives its decision: a LAPI that answers tells the end.
    pub(crate) grace: u64,
    /// By how much the end of one decision may seem to differ.
    pub(crate) slack: u64,
    /// How long a full answer that lacks too much is not believed.
    pub(crate) doubt_lasts: u64,
    /// The most decisions.
    pub(crate) most: usize,
}

/// What an answer told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) new: Vec<Ban>,
    pub(crate) deleted: Vec<Id>,
    /// There were more than are read.
    pub(crate) cut: bool,
}

/// What a full answer was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is the state. So many claimed networks are released, without having been told that they were deleted.
    Believed { released: usize },
    /// It lacks so many of so many claimed networks, without telling that they were deleted.
    Doubted { lacking: usize, claimed: usize },
}

/// The state.
#[derive(Debug)]
pub(crate) struct Model {
    rules: Rules,
    decisions: Decisions,
    claims: Claims,
    cover: Cover,
    /// Networks whose claims may not be what is wanted.
    dirty: BTreeSet<Cidr>,
    /// Since when full answers lack too much.
    doubted: Option<u64>,
    /// An answer told what only a full one can explain.
    unclear: bool,
    cut: bool,
}

impl Model {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            decisions: Decisions::new(rules.slack, rules.most),
            claims: Claims::new(rules.slack),
            cover: Cover::default(),
            dirty: BTreeSet::new(),
            doubted: None,
            unclear: false,
            cut: false,
        }
    }

    /// Takes the answer to a pull for what is new.
    pub(crate) fn delta(&mut self, told: &Told) {
        for id in &told.deleted {
            match self.decisions.delete(*id) {
                Deletion::Repeated => continue,
                Deletion::Doubtful => self.unclear = true,
                // A claim that was kept although no decision is known.
                Deletion::Unknown => self.claims.keep(id.cidr, false),
                Deletion::Done => {}
            }
            self.dirty.insert(id.cidr);
        }
        for ban in &told.new {
            self.cut |= !self.decisions.insert(ban);
            self.dirty.insert(ban.id.cidr);
        }
        // What was cut off may have been anything.
        self.unclear |= told.cut;
    }

    /// Takes the answer to a full pull, and the daemon's list if it could be read.
    pub(crate) fn full(&mut self, told: &Told, found: Option<&[Found]>, now: u64) -> Judgement {
        if let Some(found) = found {
            self.dirty.extend(found.iter().map(|one| one.key.cidr));
            self.claims.found(found);
        }
        self.claims.expire(now);
        self.claims.bound_memory(self.rules.most);
        let dirty = &mut self.dirty;
        self.decisions.replace(&told.new, |cidr| {
            dirty.insert(cidr);
        });
        self.cut = told.cut;
        self.unclear = false;
        let deleted: HashSet<Cidr> = told.deleted.iter().map(|id| id.cidr).collect();
        let claimed: BTreeSet<Cidr> = self.claims.networks(now).collect();
        let gone = claimed.iter().filter(|cidr| !self.decisions.has(**cidr));
        let (told, lacking): (Vec<Cidr>, Vec<Cidr>) = gone.partition(|cidr| deleted.contains(cidr));
        let believed = self.believes(lacking.len(), claimed.len(), now);
        for cidr in told {
            self.claims.keep(cidr, false);
            self.dirty.insert(cidr);
        }
        for cidr in &lacking {
            self.claims.keep(*cidr, !believed);
            self.dirty.insert(*cidr);
        }
        if believed {
            return Judgement::Believed {
                released: lacking.len(),
            };
        }
        Judgement::Doubted {
            lacking: lacking.len(),
            claimed: claimed.len(),
        }
    }

    fn believes(&mut self, lacking: usize, claimed: usize, now: u64) -> bool {
        if !self.cut && lacking * 2 <= claimed {
            self.doubted = None;
            return true;
        }
        if lacking == 0 {
            return true;
        }
        let since = *self.doubted.get_or_insert(now);
        let is_told_again = now.saturating_sub(since) >= self.rules.doubt_lasts.max(1);
        let believed = is_told_again && !self.cut && !self.decisions.is_empty();
        if believed {
            self.doubted = None;
        }
        believed
    }

    /// Takes the daemon's ignore list.
    pub(crate) fn ignore(&mut self, cover: Cover) {
        self.cover = cover;
        self.dirty.extend(self.decisions.networks());
    }

    /// The daemon has refused a ban.
    pub(crate) fn refuse(&mut self, key: Key, why: Refused) {
        self.claims.refuse(key, why);
    }

    /// Tells what has to change for the next network; false if there is none.
    pub(crate) fn settle_next(&mut self, now: u64, tell: impl FnMut(Change)) -> bool {
        let Some(cidr) = self.dirty.pop_first() else {
            return false;
        };
        let mut wanted = if self.cover.covers(cidr) {
            Vec::new()
        } else {
            self.decisions.wanted(cidr, now)
        };
        for Wanted { until, .. } in &mut wanted {
            *until = until.saturating_add(self.rules.grace);
        }
        self.claims.settle(cidr, &wanted, tell);
        true
    }

    /// Whether only a full pull can tell what is in force.
    pub(crate) fn is_unclear(&self) -> bool {
        self.unclear
    }

    /// Whether there are more decisions than can be held.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(crate) fn decisions(&self) -> usize {
        self.decisions.len()
    }

    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// How many networks wait for [`Model::settle_next`].
    pub(crate) fn waiting(&self) -> usize {
        self.dirty.len()
    }

    /// How many networks with a decision the ignore list covers.
    pub(crate) fn ignored(&self) -> usize {
        let mut networks: Vec<Cidr> = self.decisions.networks().collect();
        networks.dedup();
        let covered = networks.iter().filter(|cidr| self.cover.covers(**cidr));
        covered.count()
    }
}
