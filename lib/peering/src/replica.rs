//! The registers of a node, with their digests.

mod deadlines;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::Bound,
};

use couic_common::{Cidr, Policy, RuleKey, V4Net};

use crate::{
    Hlc, Moment, NodeId, Record, RecordState, Stamp, Tree,
    record::{NEVER, leaf_of},
};

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
    ends: BinaryHeap<Reverse<(u64, RuleKey)>>,
    hlc: Hlc,
    lifetime: u64,
    limit: usize,
    /// Log of changed keys, if enabled.
    changed: Option<Vec<RuleKey>>,
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
    pub fn drain_changed(&mut self) -> Vec<RuleKey> {
        self.changed
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    fn note(&mut self, key: RuleKey) {
        if let Some(changed) = &mut self.changed {
            changed.push(key);
        }
    }

    /// Restores a register saved before a restart. Does not count as a change.
    pub fn restore(&mut self, key: RuleKey, slot: Slot<L>) {
        self.hlc.recall(slot.record.stamp.time);
        self.insert(key, slot);
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
    pub fn get(&self, key: RuleKey) -> Option<&Slot<L>> {
        self.slots[key.policy as usize].get(&place(key))
    }

    /// The local data of a register.
    pub fn local_mut(&mut self, key: RuleKey) -> Option<&mut L> {
        let slot = self.slots[key.policy as usize].get_mut(&place(key));
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

    /// A write of this node, now.
    pub fn write(&mut self, key: RuleKey, state: RecordState, local: L, now: Moment) {
        let stamp = self.hlc.stamp(now);
        self.write_stamped(key, state, local, stamp);
    }

    /// A write of this node at an earlier time, Unix milliseconds: for rules from before the replica. Does nothing if
    /// there is a register already.
    pub fn write_past(&mut self, key: RuleKey, state: RecordState, local: L, ms: u64) {
        if self.get(key).is_none() {
            let node = self.node();
            let time = ms << 16;
            self.write_stamped(key, state, local, Stamp { time, node });
        }
    }

    fn write_stamped(&mut self, key: RuleKey, state: RecordState, local: L, stamp: Stamp) {
        let before = self.get(key);
        let covers = before.map_or(0, |slot| slot.record.to_cover());
        let record = Record {
            stamp,
            state,
            covers,
        };
        self.put(key, Slot { record, local });
    }

    /// Merges a register of another node, with times translated to the local clock. `local` is stored if it replaces
    /// the local one.
    pub fn merge(&mut self, key: RuleKey, mut record: Record, local: L, now: Moment) -> Merge {
        if record.ends(self.lifetime) <= now.wall {
            return Merge::Over;
        }
        if self.hlc.observe(record.stamp.time, now).is_err() {
            return Merge::Ahead;
        }
        let count = self.slots.iter().map(BTreeMap::len).sum::<usize>();
        let Some(ours) = self.get(key) else {
            if count >= self.limit {
                return Merge::Full;
            }
            self.put(key, Slot { record, local });
            return Merge::Newer;
        };
        if record.stamp > ours.record.stamp {
            record.covers = record.covers.max(ours.record.to_cover());
            self.put(key, Slot { record, local });
            return Merge::Newer;
        }
        let (covers, same) = if record.stamp == ours.record.stamp {
            (record.covers, true)
        } else {
            (record.to_cover(), false)
        };
        self.cover(key, covers);
        if same { Merge::Same } else { Merge::Older }
    }

    /// Records that a register replaced a write that lasts until `until`.
    fn cover(&mut self, key: RuleKey, until: u64) {
        let Some(slot) = self.slots[key.policy as usize].get_mut(&place(key)) else {
            return;
        };
        let before = slot.record.ends(self.lifetime);
        slot.record.covers = slot.record.covers.max(until);
        let ends = slot.record.ends(self.lifetime);
        if ends != before {
            self.ends.push(Reverse((ends, key)));
            self.note(key);
        }
    }

    fn put(&mut self, key: RuleKey, slot: Slot<L>) {
        self.insert(key, slot);
        self.note(key);
    }

    fn insert(&mut self, key: RuleKey, slot: Slot<L>) {
        let stamp = slot.record.stamp;
        let ends = slot.record.ends(self.lifetime);
        let before = self.slots[key.policy as usize].insert(place(key), slot);
        let tree = &mut self.trees[key.policy as usize];
        if let Some(before) = before {
            tree.toggle(key, before.record.stamp);
        }
        tree.toggle(key, stamp);
        if ends != NEVER {
            self.ends.push(Reverse((ends, key)));
            self.compact_deadlines();
        }
    }
}

/// The position of a register: registers are in the order of leaves.
fn place(key: RuleKey) -> (u16, Cidr) {
    (leaf_of(key), key.cidr)
}

#[cfg(test)]
mod tests;
