//! The registers of a node, with their digests.
//!
//! Each register has one writer. So the last write wins only over the writer's own earlier ones, and a node with a hostile
//! or broken clock harms nobody but itself. What holds for a rule is the union of the registers of all writers.

mod attribution;
mod deadlines;
mod merge;
mod own;
mod room;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    ops::Bound,
};

use couic_common::{Cidr, Policy, Reason, ReasonOf, Reasons, RuleKey, V4Net};

pub use merge::{Merge, Offer};

use crate::{
    Limits, Moment, NodeId, PeerId, RegisterId, Share, Slot, Stamp, Tree,
    known::Peers,
    record::{NEVER, leaf_of},
};

/// The position of a register: in the order of leaves, so that those of a leaf, and all of a rule, stand together.
pub(crate) type Place = (u16, Cidr, u32);

/// The registers of one node.
#[derive(Debug)]
pub struct Replica {
    node: NodeId,
    slots: [BTreeMap<Place, Slot>; 2],
    trees: [Tree; 2],
    ends: BinaryHeap<Reverse<(u64, RegisterId)>>,
    peers: Peers,
    /// Those of the registers.
    reasons: Reasons,
    lifetime: u64,
    limit: usize,
    /// Tombstones that this node wrote, the oldest first.
    own_tombstones: VecDeque<(RegisterId, Stamp)>,
    /// Own writes before this time, Unix ms, may have been lost: peers may give them back.
    recalls_before: u64,
    /// Log of changed registers, if enabled.
    changed: Option<Vec<RegisterId>>,
    /// Registers that were ended since [`Replica::drain_ended`], and that peers may have from this node alone.
    ended: Vec<RegisterId>,
}

impl Replica {
    /// An empty replica. Tombstones are kept for `lifetime` milliseconds. `limit` is how many registers of other nodes
    /// have room.
    #[must_use]
    pub fn new(node: NodeId, lifetime: u64, limit: usize) -> Self {
        Self {
            node,
            slots: Default::default(),
            trees: Default::default(),
            ends: BinaryHeap::new(),
            peers: Peers::default(),
            reasons: Reasons::default(),
            lifetime,
            limit,
            own_tombstones: VecDeque::new(),
            recalls_before: 0,
            changed: None,
            ended: Vec::new(),
        }
    }

    /// The node of this replica.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Makes a peer known.
    pub fn introduce(&mut self, limits: &Limits) -> PeerId {
        self.peers.introduce(limits)
    }

    /// Notes that a peer spoke as this node. False if the node's number belongs to another peer, in whose name this one
    /// may not speak.
    pub fn heard(&mut self, peer: PeerId, node: NodeId, now: Moment) -> bool {
        node.machine() != self.node.machine() && self.peers.heard(peer, node, now)
    }

    /// The peer that a machine's number belongs to.
    #[must_use]
    pub fn owner_of(&self, machine: u32) -> Option<PeerId> {
        self.peers.owner(machine)
    }

    /// Registers that came from a peer: those that it wrote, or those of others.
    #[must_use]
    pub fn share(&self, peer: PeerId, direct: bool) -> Share {
        self.peers.share(peer, direct)
    }

    /// Enables [`Replica::drain_changed`].
    pub fn note_changes(&mut self) {
        self.changed.get_or_insert_default();
    }

    /// Registers that were written, replaced or forgotten since the last call, in that order.
    pub fn drain_changed(&mut self) -> Vec<RegisterId> {
        self.changed
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    fn note(&mut self, id: RegisterId) {
        if let Some(changed) = &mut self.changed {
            changed.push(id);
        }
    }

    /// This node starts without all that it wrote before this time, Unix milliseconds: peers give that back, and it
    /// counts as theirs.
    pub const fn recall_before(&mut self, wall: u64) {
        self.recalls_before = wall;
    }

    /// Restores a register saved before a restart, with its reason. Does not count as a change.
    pub fn restore(&mut self, key: RuleKey, mut slot: Slot, reason: Option<&Reason>) {
        // What this node passes on of plain jobs is its own word.
        if slot.direct && slot.record.author() != self.node.machine() {
            self.peers.bind(slot.from, slot.record.author());
        }
        slot.reason = self.reasons.hold_reason(reason, ReasonOf::Own);
        let held = slot.reason;
        self.insert(key, slot);
        self.reasons.release(held);
    }

    /// Why the rule of a register is there.
    #[must_use]
    pub fn reason(&self, slot: &Slot) -> Option<&Reason> {
        self.reasons.get(slot.reason)
    }

    /// Whether this node's register could have this reason.
    #[must_use]
    pub fn would_keep(&self, reason: &Reason) -> bool {
        self.reasons.would_keep(reason, ReasonOf::Own)
    }

    /// How many reasons of registers were not kept, for want of a place.
    #[must_use]
    pub const fn reasons_not_kept(&self) -> u64 {
        self.reasons.not_kept()
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
    pub fn get(&self, id: RegisterId) -> Option<&Slot> {
        self.slots[id.key.policy as usize].get(&place(id))
    }

    /// This node's register of a rule.
    #[must_use]
    pub fn own(&self, key: RuleKey) -> Option<&Slot> {
        self.get(self.own_id(key))
    }

    /// The id of this node's register of a rule.
    #[must_use]
    pub const fn own_id(&self, key: RuleKey) -> RegisterId {
        RegisterId {
            key,
            author: self.node.machine(),
        }
    }

    /// All registers of a rule.
    pub fn of(&self, key: RuleKey) -> impl Iterator<Item = (RegisterId, &Slot)> {
        let leaf = leaf_of(key);
        let range = (leaf, key.cidr, 0)..=(leaf, key.cidr, u32::MAX);
        let slots = self.slots[key.policy as usize].range(range);
        slots.map(move |((.., author), slot)| {
            let author = *author;
            (RegisterId { key, author }, slot)
        })
    }

    fn of_mut(&mut self, key: RuleKey) -> impl Iterator<Item = (RegisterId, &mut Slot)> {
        let leaf = leaf_of(key);
        let range = (leaf, key.cidr, 0)..=(leaf, key.cidr, u32::MAX);
        let slots = self.slots[key.policy as usize].range_mut(range);
        slots.map(move |((.., author), slot)| {
            let author = *author;
            (RegisterId { key, author }, slot)
        })
    }

    /// The registers in an inclusive range of leaves.
    pub fn in_leaves(
        &self,
        policy: Policy,
        leaves: (u16, u16),
    ) -> impl Iterator<Item = (u16, RegisterId, &Slot)> {
        self.after(policy, leaves, None)
    }

    /// The registers in an inclusive range of leaves, behind a place.
    pub(crate) fn after(
        &self,
        policy: Policy,
        (first, last): (u16, u16),
        after: Option<Place>,
    ) -> impl Iterator<Item = (u16, RegisterId, &Slot)> {
        let least = (first, Cidr::V4(V4Net::default()), 0);
        let from = match after {
            Some(after) if after >= least => Bound::Excluded(after),
            _ => Bound::Included(least),
        };
        let from = self.slots[policy as usize].range((from, Bound::Unbounded));
        from.take_while(move |((leaf, ..), _)| *leaf <= last).map(
            move |((leaf, cidr, author), slot)| {
                let (key, author) = (RuleKey::new(policy, *cidr), *author);
                (*leaf, RegisterId { key, author }, slot)
            },
        )
    }

    /// Notes whether the firewall has what the registers of a rule ask for that came from a peer, or this node's own
    /// one. It has all that are live, or none.
    pub fn set_in_force(&mut self, key: RuleKey, from: PeerId, in_force: bool, now: Moment) {
        let me = self.node.machine();
        let is_meant = |id: RegisterId, slot: &Slot| match from {
            PeerId::SELF => id.author == me,
            from => id.author != me && slot.from == from,
        };
        for (id, slot) in self.of_mut(key) {
            if is_meant(id, slot) {
                slot.in_force = in_force && slot.is_live(now);
            }
        }
    }

    fn put(&mut self, key: RuleKey, slot: Slot) {
        let author = slot.record.author();
        self.insert(key, slot);
        self.note(RegisterId { key, author });
    }

    fn insert(&mut self, key: RuleKey, slot: Slot) {
        let author = slot.record.author();
        let id = RegisterId { key, author };
        let ends = slot.ends(self.lifetime);
        if author == self.node.machine() && !slot.record.is_rule() {
            self.own_tombstones.push_back((id, slot.record.stamp));
        }
        self.account(key, &slot, true);
        self.reasons.hold(slot.reason);
        self.trees[key.policy as usize].toggle(key, &slot.record);
        let before = self.slots[key.policy as usize].insert(place(id), slot);
        if let Some(before) = before {
            self.account(key, &before, false);
            self.reasons.release(before.reason);
            self.trees[key.policy as usize].toggle(key, &before.record);
        }
        if ends != NEVER {
            self.ends.push(Reverse((ends, id)));
            self.compact_deadlines();
        }
        self.bound_tombstones();
    }
}

/// The position of a register.
pub(crate) fn place(id: RegisterId) -> Place {
    (leaf_of(id.key), id.key.cidr, id.author)
}

#[cfg(test)]
mod tests;
