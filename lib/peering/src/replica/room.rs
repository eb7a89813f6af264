//! Shares of the registers: none uses up what others need.
//!
//! A register that a peer wrote counts for that peer, one that it passed on for what it passes on. Half of the room is for
//! whoever comes first; the other half is there in equal shares. This node's own registers always have room; of its
//! tombstones the oldest go when there are too many.

use couic_common::{Policy, RuleKey};

use super::Replica;
use crate::{Limits, PeerId, Refusal, RegisterId, Slot, Stamp, known::addresses_of};

/// Tombstones of its own that every node may have.
const MIN_TOMBSTONES: usize = 1_024;

impl Replica {
    pub(super) fn account(&mut self, key: RuleKey, slot: &Slot, is_in: bool) {
        if let Some(share) = self.peers.share_mut(slot.from, slot.direct) {
            share.count(key.policy, key.cidr, &slot.record, is_in);
        }
    }

    /// How many registers every peer can have, twice: of its own and of others.
    #[must_use]
    pub fn guaranteed(&self) -> usize {
        self.limit / 2 / (2 * self.peers.len().max(1))
    }

    /// Tombstones of rules that are not here, per share.
    const fn tombstones(&self) -> usize {
        self.limit / 16
    }

    /// The first of several new rules for which a peer's share of the addresses has no room.
    #[must_use]
    pub fn exceeds_addresses(
        &self,
        peer: PeerId,
        keys: &[RuleKey],
        limits: &Limits,
    ) -> Option<Refusal> {
        let mut used = [true, false].map(|ipv4| self.addresses(peer, ipv4));
        let drops = keys.iter().filter(|key| key.policy == Policy::Drop);
        drops.map(|key| key.cidr).find_map(|cidr| {
            let used = &mut used[usize::from(!cidr.is_ipv4())];
            *used = used.saturating_add(addresses_of(cidr));
            (*used > limits.addresses(cidr.is_ipv4())).then_some(Refusal::Addresses { cidr })
        })
    }

    fn addresses(&self, peer: PeerId, ipv4: bool) -> u128 {
        let of = |direct| self.peers.share(peer, direct).addresses[usize::from(!ipv4)];
        of(true).saturating_add(of(false))
    }

    pub(super) fn check_room(
        &self,
        key: RuleKey,
        slot: &Slot,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let (is_rule, author) = (slot.record.is_rule(), slot.record.author());
        let held = self.get(RegisterId { key, author });
        let counts = |held: &Slot| held.from == slot.from && held.record.is_rule();
        if is_rule && !held.is_some_and(counts) {
            let exceeds = self.exceeds_addresses(slot.from, &[key], limits);
            exceeds.map_or(Ok(()), Err)?;
        }
        if held.is_some_and(|held| (held.from, held.direct) == (slot.from, slot.direct)) {
            return Ok(());
        }
        let share = self.peers.share(slot.from, slot.direct);
        let fits = share.registers < self.guaranteed() || self.peers.total() < self.limit / 2;
        if fits && (is_rule || held.is_some() || share.tombstones < self.tombstones()) {
            return Ok(());
        }
        Err(Refusal::Full)
    }

    /// Forgets the oldest of the tombstones that this node wrote, when there are too many.
    pub(super) fn bound_tombstones(&mut self) {
        let most = (self.limit / 4).max(MIN_TOMBSTONES);
        if self.own_tombstones.len() <= most {
            return;
        }
        let mut all = std::mem::take(&mut self.own_tombstones);
        let stands = |(id, stamp): &(RegisterId, Stamp)| {
            self.get(*id)
                .is_some_and(|slot| slot.record.stamp == *stamp)
        };
        all.retain(stands);
        // A quarter at a time, as each turn looks at all of them.
        let excess = all.len().saturating_sub(most / 4 * 3);
        all.drain(..excess).for_each(|(id, _)| self.forget(id));
        self.own_tombstones = all;
    }
}
