//! The claims at the daemon, as far as they are known: what this run has sent, and what it found there.

use std::collections::{BTreeMap, HashSet};

use couic_common::Cidr;

use crate::{
    known::Wanted,
    names::{Reason, Tag},
};

/// A claim is known by its network and tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) cidr: Cidr,
    pub(crate) tag: Tag,
}

/// A claim that the daemon named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) key: Key,
    /// Unix seconds.
    pub(crate) until: u64,
}

/// What the daemon is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Ban until then.
    Ban {
        key: Key,
        until: u64,
        reason: Reason,
        before: Before,
    },
    /// Release.
    Release(Key),
}

/// What there was before a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing.
    Nothing,
    /// A ban that ends sooner.
    Shorter,
    /// A ban that ends later.
    Longer,
}

/// Why the daemon does not hold a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Because of what the ban is: sent again only when the decision is prolonged.
    Ever(&'static str),
    /// For want of room, say: sent again after the next compare.
    ForNow(&'static str),
}

impl Refused {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Ever(reason) | Self::ForNow(reason) => reason,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    until: u64,
    refused: Option<Refused>,
    /// The daemon named it, whatever it refused then.
    is_there: bool,
    /// The LAPI does not tell it any more, which is not believed yet.
    kept: bool,
}

/// All claims.
#[derive(Debug)]
pub(crate) struct Claims {
    all: BTreeMap<Key, Claim>,
    /// Those that were found, and released: if they are found again they are of another client.
    released: HashSet<Key>,
    /// Ends that differ by less are the same.
    slack: u64,
}

impl Claims {
    pub(crate) fn new(slack: u64) -> Self {
        Self {
            all: BTreeMap::new(),
            released: HashSet::new(),
            slack,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The networks with claims that have not ended, each at least once.
    pub(crate) fn networks(&self, now: u64) -> impl Iterator<Item = Cidr> {
        let live = self.all.iter().filter(move |(_, claim)| claim.until > now);
        live.map(|(key, _)| key.cidr)
    }

    /// How many claims are refused, for each reason.
    pub(crate) fn refused(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for refused in self.all.values().filter_map(|claim| claim.refused) {
            *counts.entry(refused.reason()).or_default() += 1;
        }
        counts
    }

    /// Takes the whole list of the daemon, which has been told everything before.
    pub(crate) fn found(&mut self, list: &[Found]) {
        let mut gone = std::mem::take(&mut self.all);
        for Found { key, until } in list {
            let old = gone.remove(key);
            if old.is_none() && self.released.contains(key) {
                continue;
            }
            let refused = old.and_then(|old| old.refused);
            let claim = match (old, refused) {
                // A ban that the daemon does not prolong: what was wished is remembered.
                (Some(old), Some(Refused::Ever(_))) => Claim {
                    is_there: true,
                    ..old
                },
                _ => Claim {
                    until: *until,
                    refused: None,
                    is_there: true,
                    kept: old.is_some_and(|old| old.kept),
                },
            };
            self.all.insert(*key, claim);
        }
        // What is refused for good is remembered. Anything else is not there, and will be sent again.
        gone.retain(|_, claim| matches!(claim.refused, Some(Refused::Ever(_))));
        self.all.append(&mut gone);
    }

    /// The daemon has refused a ban.
    pub(crate) fn refuse(&mut self, key: Key, why: Refused) {
        if let Some(claim) = self.all.get_mut(&key) {
            claim.refused = Some(why);
        }
    }

    /// Those that have ended go.
    pub(crate) fn expire(&mut self, now: u64) {
        self.all.retain(|_, claim| claim.until > now);
    }

    /// Keeps, or gives up, the claims of a network for which there is no decision any more.
    pub(crate) fn keep(&mut self, cidr: Cidr, kept: bool) {
        for (_, claim) in self.all.range_mut(range(cidr)) {
            claim.kept = kept;
        }
    }

    /// Makes the claims of a network what is wanted. The ends of `wanted` are those of claims.
    pub(crate) fn settle(&mut self, cidr: Cidr, wanted: &[Wanted], mut tell: impl FnMut(Change)) {
        for Wanted { tag, until, reason } in wanted.iter().copied() {
            let key = Key { cidr, tag };
            let before = match self.all.get_mut(&key) {
                None => Before::Nothing,
                Some(claim) => {
                    claim.kept = false;
                    if claim.until.abs_diff(until) <= self.slack {
                        continue;
                    }
                    if until < claim.until {
                        Before::Longer
                    } else {
                        Before::Shorter
                    }
                }
            };
            let claim = Claim {
                until,
                refused: None,
                is_there: before != Before::Nothing,
                kept: false,
            };
            self.all.insert(key, claim);
            tell(Change::Ban {
                key,
                until,
                reason,
                before,
            });
        }
        let is_over = |key: &Key, claim: &Claim| {
            !claim.kept && !wanted.iter().any(|wanted| wanted.tag == key.tag)
        };
        let over = self.all.range(range(cidr));
        let over: Vec<Key> = over
            .filter(|(key, claim)| is_over(key, claim))
            .map(|(key, _)| *key)
            .collect();
        for key in over {
            let claim = self.all.remove(&key);
            if claim.is_some_and(|claim| claim.refused.is_none() || claim.is_there) {
                self.released.insert(key);
                tell(Change::Release(key));
            }
        }
    }

    /// At a full compare, the claims that were released long ago need not be remembered.
    pub(crate) fn bound_memory(&mut self, most: usize) {
        if self.released.len() > most {
            self.released.clear();
        }
    }
}

fn range(cidr: Cidr) -> std::ops::RangeInclusive<Key> {
    Key {
        cidr,
        tag: Tag::FIRST,
    }..=Key {
        cidr,
        tag: Tag::LAST,
    }
}
