//! The end of registers: expired rules and old tombstones are forgotten in the order of their deadlines.

use std::{cmp::Reverse, collections::BTreeMap};

use couic_common::{Policy, RuleKey};

use super::Replica;
use crate::{Moment, RegisterId, Slot, record::NEVER};

/// Maximum number of stale entries in the queue of deadlines.
pub(super) const STALE: usize = 4096;

impl Replica {
    /// Whether a register has expired and can be forgotten.
    #[must_use]
    pub fn is_over(&self, slot: &Slot, now: Moment) -> bool {
        slot.ends(self.lifetime) <= now.wall
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
            for ((_, cidr, author), slot) in &self.slots[policy as usize] {
                let at = slot.ends(lifetime);
                if at != NEVER {
                    let (key, author) = (RuleKey::new(policy, *cidr), *author);
                    ends.push(Reverse((at, RegisterId { key, author })));
                }
            }
        }
        self.ends = ends.into();
    }

    /// Forgets expired registers, up to `most`. Returns the number of deadlines processed.
    pub fn bury(&mut self, now: Moment, most: usize) -> usize {
        let mut seen = 0;
        while seen < most {
            let Some(Reverse((_, id))) = self
                .ends
                .peek()
                .copied()
                .filter(|Reverse((at, ..))| *at <= now.wall)
            else {
                break;
            };
            self.ends.pop();
            seen += 1;
            if self.get(id).is_some_and(|slot| self.is_over(slot, now)) {
                self.forget(id);
            }
        }
        seen
    }
}
