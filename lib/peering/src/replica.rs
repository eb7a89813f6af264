//! All registers of a node, with their digests.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::Bound,
};

use couic_common::{Cidr, Policy, RuleKey, V4Net};

use crate::{
    Hlc, Moment, NodeId, Record, RegisterState, Stamp, Tree,
    record::{NEVER, leaf_of},
};

/// How many entries of a queue of deadlines may belong to nothing any more.
const STALE: usize = 4096;

/// A register, and what the owner of the replica notes about it for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot<L> {
    /// What every node agrees on.
    pub record: Record,
    /// What is this node's own business.
    pub local: L,
}

/// What became of a register that another node sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It is later than ours, which it replaced.
    Newer,
    /// It is the one we have.
    Same,
    /// Ours is later.
    Older,
    /// Its time is over.
    Over,
    /// Its stamp is further ahead than can be trusted.
    Ahead,
    /// There is no room for more registers.
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
    /// What was written, replaced or forgotten, for whoever keeps it.
    changed: Option<Vec<RuleKey>>,
}

impl<L> Replica<L> {
    /// No registers. A tombstone is kept for `lifetime` milliseconds; other nodes' registers are refused where there
    /// are `limit` already.
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

    /// From now on [`Replica::take_changed`] tells what changed.
    pub fn note_changes(&mut self) {
        self.changed.get_or_insert_default();
    }

    /// The registers that were written, replaced or forgotten since the last call, in that order.
    pub fn take_changed(&mut self) -> Vec<RuleKey> {
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

    /// Puts a register of an earlier life back, as it was. No change.
    pub fn restore(&mut self, key: RuleKey, slot: Slot<L>) {
        self.hlc.recall(slot.record.stamp.time);
        self.insert(key, slot);
    }

    /// Whose replica this is.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.hlc.node()
    }

    /// The logical clock.
    pub const fn hlc(&mut self) -> &mut Hlc {
        &mut self.hlc
    }

    /// The digests of a policy's registers.
    #[must_use]
    pub const fn tree(&self, policy: Policy) -> &Tree {
        &self.trees[policy as usize]
    }

    /// How many registers there are, tombstones included.
    #[must_use]
    pub fn len(&self, policy: Policy) -> usize {
        self.slots[policy as usize].len()
    }

    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(BTreeMap::is_empty)
    }

    /// One register.
    #[must_use]
    pub fn get(&self, key: RuleKey) -> Option<&Slot<L>> {
        self.slots[key.policy as usize].get(&place(key))
    }

    /// What this node notes about a register.
    pub fn local_mut(&mut self, key: RuleKey) -> Option<&mut L> {
        let slot = self.slots[key.policy as usize].get_mut(&place(key));
        slot.map(|slot| &mut slot.local)
    }

    /// The registers in a range of leaves, both ends included.
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
    pub fn write(&mut self, key: RuleKey, state: RegisterState, local: L, now: Moment) {
        let stamp = self.hlc.stamp(now);
        self.write_stamped(key, state, local, stamp);
    }

    /// A write of this node at an earlier time, Unix milliseconds: of what was there before the replica. Does nothing
    /// where there is a register already.
    pub fn write_past(&mut self, key: RuleKey, state: RegisterState, local: L, ms: u64) {
        if self.get(key).is_none() {
            let node = self.node();
            let time = ms << 16;
            self.write_stamped(key, state, local, Stamp { time, node });
        }
    }

    fn write_stamped(&mut self, key: RuleKey, state: RegisterState, local: L, stamp: Stamp) {
        let before = self.get(key);
        let covers = before.map_or(0, |slot| slot.record.to_cover());
        let record = Record {
            stamp,
            state,
            covers,
        };
        self.put(key, Slot { record, local });
    }

    /// Takes a register of another node, its times in this machine's. `local` is noted where it replaces ours.
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

    /// A register has replaced something that lasts until then.
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
            self.sweep();
        }
    }

    /// Whether a register's time is over, so that it is as good as forgotten.
    #[must_use]
    pub fn is_over(&self, slot: &Slot<L>, now: Moment) -> bool {
        slot.record.ends(self.lifetime) <= now.wall
    }

    /// Keeps the queue of deadlines from growing with every renewal.
    fn sweep(&mut self) {
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

    /// Forgets the registers whose time is over, up to `most`. Returns how many entries were looked at.
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

    /// Forgets a register as if it had never been: not a deletion, and other nodes may send it again.
    pub fn forget(&mut self, key: RuleKey) {
        if let Some(slot) = self.slots[key.policy as usize].remove(&place(key)) {
            self.trees[key.policy as usize].toggle(key, slot.record.stamp);
            self.note(key);
        }
    }
}

/// Where a register lies: registers are in the order of leaves.
fn place(key: RuleKey) -> (u16, Cidr) {
    (leaf_of(key), key.cidr)
}

#[cfg(test)]
mod tests;
