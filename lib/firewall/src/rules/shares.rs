//! Shares of what there is a limited number of: the places of rules, and tags.
//!
//! - A client or a peer may hold at most [`FACTOR`] times as many places as are left for it and its like. So one alone may
//!   use nearly all, and whoever comes next still finds some.
//! - A tenth is for sets and admins: clients and peers leave free what of it sets do not use already.
//! - Sets and admins have no share: the limit is theirs.
//!
//! Places that are held already, as after a restart with lower limits, stay.

use std::{collections::HashMap, fmt};

use couic_common::{ClientName, Policy};

use super::{Actor, FirewallError, Owner, packed::OwnerId};

/// How many times as many places as are free one owner may hold.
const FACTOR: usize = 8;

/// The part of the places that is kept for sets and admins.
const RESERVED: usize = 10;

/// Whether a client is an admin, whom no share binds.
pub(super) type IsAdmin = Box<dyn Fn(&ClientName) -> bool + Send + Sync>;

/// Who holds how many places of one kind.
#[derive(Debug, Default)]
pub(super) struct Held {
    by_owner: HashMap<OwnerId, usize>,
    by_sets: usize,
}

/// An owner, and whether it is a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) id: OwnerId,
    pub(super) is_set: bool,
}

impl Holder {
    pub(super) const fn new(id: OwnerId, owner: &Owner) -> Self {
        Self {
            id,
            is_set: owner.is_set(),
        }
    }
}

impl Held {
    pub(super) fn add(&mut self, holder: Holder) {
        if holder.is_set {
            self.by_sets += 1;
        } else {
            *self.by_owner.entry(holder.id).or_default() += 1;
        }
    }

    pub(super) fn take(&mut self, holder: Holder) {
        if holder.is_set {
            self.by_sets = self.by_sets.saturating_sub(1);
        } else if let Some(held) = self.by_owner.get_mut(&holder.id) {
            *held -= 1;
            if *held == 0 {
                self.by_owner.remove(&holder.id);
            }
        }
    }

    pub(super) const fn by_sets(&self) -> usize {
        self.by_sets
    }

    fn of(&self, id: OwnerId) -> usize {
        self.by_owner.get(&id).copied().unwrap_or(0)
    }
}

/// What is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// Places in a table of rules, `IPv4` or `IPv6`.
    Rules(&'static str),
    /// Tags.
    Tags,
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rules(family) => write!(f, "{family} entries"),
            Self::Tags => f.write_str("tags"),
        }
    }
}

/// Places of one kind.
pub(super) struct Places<'a> {
    pub(super) policy: Policy,
    pub(super) what: Shared,
    pub(super) used: usize,
    pub(super) limit: usize,
    pub(super) held: &'a Held,
}

impl Places<'_> {
    /// Whether one more may go to this owner, which is no set.
    ///
    /// # Errors
    /// [`FirewallError::ShareTaken`].
    pub(super) fn check(
        &self,
        owner: OwnerId,
        actor: &Actor,
        is_admin: Option<&IsAdmin>,
    ) -> Result<(), FirewallError> {
        let held = self.held.of(owner);
        if grants(self.limit, self.used, self.held.by_sets, held) {
            return Ok(());
        }
        if let Actor::Client(name) = actor
            && is_admin.is_some_and(|is_admin| is_admin(name))
        {
            return Ok(());
        }
        Err(FirewallError::ShareTaken {
            policy: self.policy,
            what: self.what,
            actor: actor.clone(),
            held,
            used: self.used,
            limit: self.limit,
        })
    }
}

fn grants(limit: usize, used: usize, by_sets: usize, held: usize) -> bool {
    let reserved = (limit / RESERVED).saturating_sub(by_sets);
    let free = limit.saturating_sub(used).saturating_sub(reserved);
    held < FACTOR * free
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes places until one is refused. Returns how many.
    fn fill(limit: usize, used: &mut usize, by_sets: usize) -> usize {
        let mut held = 0;
        while grants(limit, *used, by_sets, held) {
            held += 1;
            *used += 1;
        }
        held
    }

    #[test]
    fn one_owner_may_use_nearly_all_and_the_next_still_find_some() {
        let mut used = 0;
        let taken: Vec<usize> = (0..5).map(|_| fill(1_000_000, &mut used, 0)).collect();
        assert_eq!(taken, [800_000, 88_889, 9_877, 1_097, 122]);
        assert!(used < 900_000, "a tenth is kept");
    }

    #[test]
    fn what_sets_use_of_the_reserve_is_not_kept_twice() {
        let mut used = 950_000;
        assert_eq!(fill(1_000_000, &mut used, 950_000), 44_445);
        assert_eq!(fill(1_000_000, &mut 960_000, 30_000), 0);
    }

    #[test]
    fn small_tables_can_be_filled() {
        for limit in 0..9 {
            assert_eq!(fill(limit, &mut 0, 0), limit);
        }
    }
}
