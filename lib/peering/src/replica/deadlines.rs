//! The end of registers: expired rules and old tombstones are forgotten in the order of their deadlines.

use std::{cmp::Reverse, collections::BTreeMap};

use couic_common::{Policy, RuleKey};

use super::{Replica, Slot, place};
use crate::{Moment, record::NEVER};

/// Maximum number of stale entries in the queue of deadlines.
pub(super) const STALE: usize = 4096;

impl<L> Replica<L> {
    /// Whether a register has expired and can be forgotten.
    #[must_use]
    pub fn is_over(&self, slot: &Slot<L>, now: Moment) -> bool {
        slot.record.ends(self.lifetime) <= now.wall
    }

    /// Rebuilds the queue of deadlines when it holds too many stale entries from renewals.
    pub(super) fn compact_deadlines(&mut self) {
        let count = self.slots.iter().map(BTreeMap::len).sum::<usize>();
        if self.ends.len() <= 2 * count + STALE {
            return;
        }
        let lifetime = self.lifetime;
        let mut ends = Vec::with_capacity(count);
        for policy in Policy::ALL {
            for ((_, cidr), slot) in &self.slots[policy as usize] {
                let at = slot.record.ends(lifetime);
                if at != NEVER {
                    ends.push(Reverse((at, RuleKey::new(policy, *cidr))));
                }
            }
        }
        self.ends = ends.into();
    }

    /// Forgets expired registers, up to `most`. Returns the number of deadlines processed.
    pub fn bury(&mut self, wall: u64, most: usize) -> usize {
        let mut seen = 0;
        while seen < most {
            let Some(Reverse((_, key))) = self
                .ends
                .peek()
                .copied()
                .filter(|Reverse((at, ..))| *at <= wall)
            else {
                break;
            };
            self.ends.pop();
            seen += 1;
            let over = |slot: &Slot<L>| slot.record.ends(self.lifetime) <= wall;
            if self.get(key).is_some_and(over) {
                self.forget(key);
            }
        }
        seen
    }

    /// Forgets a register as if it had never existed. Not a deletion: other nodes may send it again.
    pub fn forget(&mut self, key: RuleKey) {
        if let Some(slot) = self.slots[key.policy as usize].remove(&place(key)) {
            self.trees[key.policy as usize].toggle(key, slot.record.stamp);
            self.note(key);
        }
    }
}
