//! The registers of a node, with their digests.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::Bound,
};

use couic_common::{Cidr, Policy, V4Net};

use crate::{
    Hlc, Moment, NodeId, Record, RecordState, Stamp, Tree,
    record::{NEVER, leaf_of},
};

/// Maximum number of stale entries in the queue of deadlines.
const STALE: usize = 4096;

/// A register with local data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot<L> {
    /// The replicated part.
    pub record: Record,
    /// The local part, which is not replicated.
    pub local: L,
}

/// The result of merging a register of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It was later, and replaced the local one.
    Newer,
    /// It equals the local one.
    Same,
    /// The local one is later.
    Older,
    /// It has expired.
    Over,
    /// Its stamp is too far ahead.
    Ahead,
    /// The maximum number of registers is reached.
    Full,
}

/// The registers of one node.
#[derive(Debug)]
pub struct Replica<L> {
    slots: [BTreeMap<(u16, Cidr), Slot<L>>; 2],
    trees: [Tree; 2],
    ends: BinaryHeap<Reverse<(u64, Policy, Cidr)>>,
    hlc: Hlc,
    lifetime: u64,
    limit: usize,
    /// Log of changed keys, if enabled.
    changed: Option<Vec<(Policy, Cidr)>>,
}

impl<L> Replica<L> {
    /// An empty replica. Tombstones are kept for `lifetime` milliseconds; with `limit` registers, those of other nodes
    /// are rejected.
    #[must_use]
    pub fn new(node: NodeId, now: Moment, lifetime: u64, limit: usize) -> Self {
        Self {
            slots: Default::default(),
            trees: Default::default(),
            ends: BinaryHeap::new(),
            hlc: Hlc::new(node, now),
            lifetime,
            limit,
            changed: None,
        }
    }

    /// Enables [`Replica::drain_changed`].
    pub fn note_changes(&mut self) {
        self.changed.get_or_insert_default();
    }

    /// Keys of registers that were written, replaced or forgotten since the last call, in that order.
    pub fn drain_changed(&mut self) -> Vec<(Policy, Cidr)> {
        self.changed
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    fn note(&mut self, policy: Policy, cidr: Cidr) {
        if let Some(changed) = &mut self.changed {
            changed.push((policy, cidr));
        }
    }

    /// Restores a register saved before a restart. Does not count as a change.
    pub fn restore(&mut self, policy: Policy, cidr: Cidr, slot: Slot<L>) {
        self.hlc.recall(slot.record.stamp.time);
        self.insert(policy, cidr, slot);
    }

    /// The node of this replica.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.hlc.node()
    }

    /// The logical clock.
    pub const fn hlc(&mut self) -> &mut Hlc {
        &mut self.hlc
    }

    /// The digests of the registers of a policy.
    #[must_use]
    pub const fn tree(&self, policy: Policy) -> &Tree {
        &self.trees[policy as usize]
    }

    /// Number of registers, including tombstones.
    #[must_use]
    pub fn len(&self, policy: Policy) -> usize {
        self.slots[policy as usize].len()
    }

    /// Whether there are no registers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(BTreeMap::is_empty)
    }

    /// One register.
    #[must_use]
    pub fn get(&self, policy: Policy, cidr: Cidr) -> Option<&Slot<L>> {
        self.slots[policy as usize].get(&(leaf_of(policy, cidr), cidr))
    }

    /// The local data of a register.
    pub fn local_mut(&mut self, policy: Policy, cidr: Cidr) -> Option<&mut L> {
        let slot = self.slots[policy as usize].get_mut(&(leaf_of(policy, cidr), cidr));
        slot.map(|slot| &mut slot.local)
    }

    /// The registers in an inclusive range of leaves.
    pub fn in_leaves(
        &self,
        policy: Policy,
        (first, last): (u16, u16),
    ) -> impl Iterator<Item = (u16, Cidr, &Slot<L>)> {
        let least = (first, Cidr::V4(V4Net::default()));
        let from = self.slots[policy as usize].range((Bound::Included(least), Bound::Unbounded));
        from.take_while(move |((leaf, _), _)| *leaf <= last)
            .map(|((leaf, cidr), slot)| (*leaf, *cidr, slot))
    }

    /// Writes a register, now.
    pub fn write(&mut self, policy: Policy, cidr: Cidr, state: RecordState, local: L, now: Moment) {
        let stamp = self.hlc.stamp(now);
        self.write_stamped(policy, cidr, state, local, stamp);
    }

    /// Writes a register with an earlier time (Unix milliseconds), for rules older than the replica. Does nothing if
    /// the register exists.
    pub fn write_past(
        &mut self,
        policy: Policy,
        cidr: Cidr,
        state: RecordState,
        local: L,
        ms: u64,
    ) {
        if self.get(policy, cidr).is_none() {
            let node = self.node();
            let time = ms << 16;
            self.write_stamped(policy, cidr, state, local, Stamp { time, node });
        }
    }

    fn write_stamped(
        &mut self,
        policy: Policy,
        cidr: Cidr,
        state: RecordState,
        local: L,
        stamp: Stamp,
    ) {
        let before = self.get(policy, cidr);
        let covers = before.map_or(0, |slot| slot.record.to_cover());
        let record = Record {
            stamp,
            state,
            covers,
        };
        self.put(policy, cidr, Slot { record, local });
    }

    /// Merges a register of another node, with times translated to the local clock. `local` is stored if it replaces
    /// the local one.
    pub fn merge(
        &mut self,
        policy: Policy,
        cidr: Cidr,
        mut record: Record,
        local: L,
        now: Moment,
    ) -> Merge {
        if record.ends(self.lifetime) <= now.wall {
            return Merge::Over;
        }
        if self.hlc.observe(record.stamp.time, now).is_err() {
            return Merge::Ahead;
        }
        let count = self.slots.iter().map(BTreeMap::len).sum::<usize>();
        let Some(ours) = self.get(policy, cidr) else {
            if count >= self.limit {
                return Merge::Full;
            }
            self.put(policy, cidr, Slot { record, local });
            return Merge::Newer;
        };
        if record.stamp > ours.record.stamp {
            record.covers = record.covers.max(ours.record.to_cover());
            self.put(policy, cidr, Slot { record, local });
            return Merge::Newer;
        }
        let (covers, same) = if record.stamp == ours.record.stamp {
            (record.covers, true)
        } else {
            (record.to_cover(), false)
        };
        self.cover(policy, cidr, covers);
        if same { Merge::Same } else { Merge::Older }
    }

    /// Records that a register replaced a write that lasts until `until`.
    fn cover(&mut self, policy: Policy, cidr: Cidr, until: u64) {
        let key = (leaf_of(policy, cidr), cidr);
        let Some(slot) = self.slots[policy as usize].get_mut(&key) else {
            return;
        };
        let before = slot.record.ends(self.lifetime);
        slot.record.covers = slot.record.covers.max(until);
        let ends = slot.record.ends(self.lifetime);
        if ends != before {
            self.ends.push(Reverse((ends, policy, cidr)));
            self.note(policy, cidr);
        }
    }

    fn put(&mut self, policy: Policy, cidr: Cidr, slot: Slot<L>) {
        self.insert(policy, cidr, slot);
        self.note(policy, cidr);
    }

    fn insert(&mut self, policy: Policy, cidr: Cidr, slot: Slot<L>) {
        let stamp = slot.record.stamp;
        let ends = slot.record.ends(self.lifetime);
        let key = (leaf_of(policy, cidr), cidr);
        let before = self.slots[policy as usize].insert(key, slot);
        let tree = &mut self.trees[policy as usize];
        if let Some(before) = before {
            tree.toggle(policy, cidr, before.record.stamp);
        }
        tree.toggle(policy, cidr, stamp);
        if ends != NEVER {
            self.ends.push(Reverse((ends, policy, cidr)));
            self.compact_deadlines();
        }
    }

    /// Whether a register has expired and can be forgotten.
    #[must_use]
    pub fn is_over(&self, slot: &Slot<L>, now: Moment) -> bool {
        slot.record.ends(self.lifetime) <= now.wall
    }

    /// Rebuilds the queue of deadlines when it holds too many stale entries from renewals.
    fn compact_deadlines(&mut self) {
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
                    ends.push(Reverse((at, policy, *cidr)));
                }
            }
        }
        self.ends = ends.into();
    }

    /// Forgets expired registers, up to `most`. Returns the number of deadlines processed.
    pub fn bury(&mut self, wall: u64, most: usize) -> usize {
        let mut seen = 0;
        while seen < most {
            let Some(Reverse((_, policy, cidr))) = self
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
            if self.get(policy, cidr).is_some_and(over) {
                self.forget(policy, cidr);
            }
        }
        seen
    }

    /// Forgets a register as if it had never existed. Not a deletion: other nodes may send it again.
    pub fn forget(&mut self, policy: Policy, cidr: Cidr) {
        let key = (leaf_of(policy, cidr), cidr);
        if let Some(slot) = self.slots[policy as usize].remove(&key) {
            self.trees[policy as usize].toggle(policy, cidr, slot.record.stamp);
            self.note(policy, cidr);
        }
    }
}

#[cfg(test)]
mod tests;
