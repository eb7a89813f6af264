//! Whose a register is: who said it, and who confirmed or took it back.

use std::cmp::Reverse;

use couic_common::Policy;

use super::{Replica, place};
use crate::{PeerId, RegisterId};

impl Replica {
    /// Whether registers of this peer that others passed on may be held, since this was last asked. After a comparison
    /// with it, those in leaves that did not differ are what it says itself: see [`Replica::relayed`].
    pub fn take_unconfirmed(&mut self, peer: PeerId) -> bool {
        self.peers.take_unconfirmed(peer)
    }

    /// Registers of a peer in these leaves that others passed on.
    #[must_use]
    pub fn relayed(&self, policy: Policy, peer: PeerId, leaves: (u16, u16)) -> Vec<RegisterId> {
        let all = self.in_leaves(policy, leaves);
        let its = all.filter(|(_, id, slot)| {
            !slot.direct
                && id.author != self.node.machine()
                && self.peers.speaks_as(peer, id.author)
        });
        its.map(|(_, id, _)| id).collect()
    }

    /// The peer says so itself: the register is its own from now on.
    pub fn confirm(&mut self, id: RegisterId, peer: PeerId) {
        let Some(mut slot) = self.get(id).cloned() else {
            return;
        };
        (slot.from, slot.direct, slot.in_force) = (peer, true, false);
        slot.heeded = self.peers.ends_others(peer);
        slot.ended = self.is_ended(id.key, &slot);
        self.put(id.key, slot.clone());
        // What it revoked took no effect while another peer only passed it on.
        self.end_others(id.key, &slot);
    }

    /// Ends every register in these leaves that a peer wrote or introduced, until it is written anew, and forgets its
    /// tombstones. Returns the registers.
    pub fn forget_peer(
        &mut self,
        policy: Policy,
        peer: PeerId,
        leaves: (u16, u16),
    ) -> Vec<RegisterId> {
        let me = self.node.machine();
        let slots = self.in_leaves(policy, leaves);
        let its = slots.filter(|(_, id, slot)| {
            let is_its = slot.from == peer || self.peers.is_of(peer, id.author);
            is_its && id.author != me && !slot.ended
        });
        let its: Vec<_> = its
            .map(|(_, id, slot)| (id, slot.record.is_rule()))
            .collect();
        for (id, is_rule) in &its {
            if *is_rule {
                self.end(*id);
            } else {
                self.forget(*id);
            }
        }
        its.into_iter().map(|(id, _)| id).collect()
    }

    /// A peer is about to be forgotten, leaf by leaf: what others pass on of it meanwhile is not in force.
    pub fn distrust(&mut self, peer: PeerId) {
        self.peers.distrust(peer);
    }

    /// The numbers of a peer that was forgotten are free again.
    pub fn unbind(&mut self, peer: PeerId) {
        self.peers.unbind(peer);
    }

    /// Registers that were ended since the last call, and that are to be told to peers: those that have one from this
    /// node alone end it, too, and the digests, which do not cover this, would not show it.
    pub fn drain_ended(&mut self) -> Vec<RegisterId> {
        std::mem::take(&mut self.ended)
    }

    /// The registers in these leaves of which the same is to be told.
    pub(crate) fn ended_in(
        &self,
        policy: Policy,
        leaves: (u16, u16),
    ) -> impl Iterator<Item = RegisterId> {
        let all = self.in_leaves(policy, leaves);
        let ended = all.filter(|(_, id, slot)| slot.ended && self.is_introduced(*id));
        ended.map(|(_, id, _)| id)
    }

    /// Whether a register is of no peer's machine: who introduced it answers for it.
    fn is_introduced(&self, id: RegisterId) -> bool {
        id.author != self.node.machine() && self.is_nobodys(id.author)
    }

    pub(super) fn end(&mut self, id: RegisterId) {
        if let Some(slot) = self.slots[id.key.policy as usize].get_mut(&place(id)) {
            slot.ended = true;
            let ends = slot.ends(self.lifetime);
            self.ends.push(Reverse((ends, id)));
            self.note(id);
            if self.is_introduced(id) {
                self.ended.push(id);
            }
        }
    }

    /// Forgets a register as if it had never existed. Not a deletion: other nodes may send it again.
    pub fn forget(&mut self, id: RegisterId) {
        if let Some(slot) = self.slots[id.key.policy as usize].remove(&place(id)) {
            self.trees[id.key.policy as usize].toggle(id.key, &slot.record);
            self.account(id.key, &slot, false);
            self.reasons.release(slot.reason);
            self.note(id);
        }
    }
}
