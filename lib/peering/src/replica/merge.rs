//! Registers of other nodes.

use couic_common::{Cidr, Reason, ReasonId, ReasonOf, RuleKey};

use super::Replica;
use crate::{Limits, Moment, PeerId, Record, Refusal, RegisterId, Slot, known::Voice};

/// A register that a peer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The network.
    pub cidr: Cidr,
    /// What its author wrote.
    pub record: Record,
    /// By how much this node's clock is ahead of the author's, in milliseconds.
    pub shift: i64,
    /// Whether the peer holds it as ended.
    pub ended: bool,
    /// Whether what it revokes ends the rules of others at the peer.
    pub heeded: bool,
    /// Why the rule is there.
    pub reason: Option<Reason>,
}

/// The result of merging a register of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It replaced the local one.
    Newer,
    /// It equals the local one.
    Same,
    /// The local one is later, or its author speaks for itself.
    Older,
    /// The peer took back what it had passed on.
    TakenBack,
    /// It has expired.
    Over,
    /// It is in this node's own name, and was answered with this node's own word.
    Refuted,
    /// It is not accepted.
    Refused(Refusal),
}

impl Replica {
    /// Merges a register that a peer sent, within the limits of that peer.
    pub fn merge(
        &mut self,
        from: PeerId,
        key: RuleKey,
        offer: &Offer,
        limits: &Limits,
        now: Moment,
    ) -> Merge {
        let Offer { record, shift, .. } = offer;
        if record.ends(self.lifetime, *shift) <= now.wall {
            return Merge::Over;
        }
        if record.stamp.is_ahead(now) {
            return Merge::Refused(Refusal::Ahead { cidr: key.cidr });
        }
        let author = record.author();
        if author == self.node.machine() {
            return self.merge_own(from, key, offer, limits, now);
        }
        let voice = self.peers.voice(from, author, now);
        let direct = voice == Voice::Direct;
        if let Some(held) = self.get(RegisterId { key, author }) {
            let is_same = held.record == *record;
            let is_newer = *record > held.record;
            let replaces = match (direct, held.direct) {
                (true, true) => is_newer,
                // Its own word, instead of what others said.
                (true, false) => true,
                (false, true) => is_newer && voice == Voice::Relayed,
                (false, false) => is_newer,
            };
            let is_introducer = !held.direct && held.from == from;
            if is_same && offer.ended && !held.ended && is_introducer && self.is_nobodys(author) {
                self.end(RegisterId { key, author });
                return Merge::TakenBack;
            }
            if !replaces {
                return if is_same { Merge::Same } else { Merge::Older };
            }
        }
        self.place(from, direct, key, offer, limits)
    }

    fn place(
        &mut self,
        from: PeerId,
        direct: bool,
        key: RuleKey,
        offer: &Offer,
        limits: &Limits,
    ) -> Merge {
        let author = offer.record.author();
        let taken_back = offer.ended && self.is_nobodys(author);
        let mut slot = Slot {
            record: offer.record.clone(),
            shift: offer.shift,
            from,
            direct,
            // Of a forgotten peer, nothing that others pass on is in force before it speaks itself.
            ended: !direct && (taken_back || self.peers.is_forgotten(author)),
            heeded: (direct || offer.heeded) && self.peers.ends_others(from),
            in_force: false,
            reason: ReasonId::NONE,
        };
        if let Err(refusal) = self.check_room(key, &slot, limits) {
            if let Some(share) = self.peers.share_mut(from, direct) {
                share.refused += u64::from(refusal == Refusal::Full);
            }
            return Merge::Refused(refusal);
        }
        if !direct {
            self.peers.passed_on(author);
        }
        let reason = offer.reason.as_ref().filter(|_| slot.record.is_rule());
        slot.reason = self.reasons.hold_reason(reason, ReasonOf::Peer);
        let held = slot.reason;
        self.take(key, slot);
        self.reasons.release(held);
        Merge::Newer
    }

    /// Whether a machine is none of the peers: what is said in its name is its introducer's alone.
    pub(super) fn is_nobodys(&self, author: u32) -> bool {
        self.peers.owner(author).is_none()
    }

    /// A peer says what this node wrote.
    fn merge_own(
        &mut self,
        from: PeerId,
        key: RuleKey,
        offer: &Offer,
        limits: &Limits,
        now: Moment,
    ) -> Merge {
        let record = &offer.record;
        match self.own(key) {
            Some(own) if own.record == *record => return Merge::Same,
            Some(own) if own.record > *record => return Merge::Older,
            None if record.stamp.ms() < self.recalls_before => {
                return self.place(from, true, key, offer, limits);
            }
            _ => {}
        }
        if !self.peers.may_refute(from, now) {
            return Merge::Older;
        }
        self.refute(key, record, now);
        Merge::Refuted
    }

    /// Whether what a peer says of a register is worth taking instead of what is held: it is later, or its author's own
    /// word instead of what others said.
    pub(crate) fn is_replaced(&self, held: &Slot, peer: PeerId, record: &Record) -> bool {
        *record > held.record
            || (!held.direct && !held.is_own() && self.peers.speaks_as(peer, record.author()))
    }

    fn take(&mut self, key: RuleKey, mut slot: Slot) {
        let author = slot.record.author();
        let held = self.get(RegisterId { key, author });
        // What its author says itself does not depend on what became of it on the way here.
        let was_ended = held.is_some_and(|held| {
            held.ended && held.record == slot.record && (held.direct || !slot.direct)
        });
        slot.ended |= slot.record.is_rule() && (was_ended || self.is_ended(key, &slot));
        self.put(key, slot.clone());
        self.end_others(key, &slot);
    }

    /// Whose rule a register is: its author's, if that is a peer, whoever passed it on.
    fn holder(&self, slot: &Slot) -> PeerId {
        let owner = self.peers.owner(slot.record.author());
        owner.filter(|_| !slot.direct).unwrap_or(slot.from)
    }

    /// Whether a revocation may end a register.
    fn may_end(&self, revocation: &Slot, slot: &Slot) -> bool {
        revocation.record.revokes > slot.record.stamp.time
            && revocation.record.author() != slot.record.author()
            && (revocation.is_own() || revocation.heeded || self.is_of_its_peer(revocation, slot))
    }

    /// Without that trust a peer ends what it wrote or passed on; what it only passes on ends nothing that it wrote.
    fn is_of_its_peer(&self, revocation: &Slot, slot: &Slot) -> bool {
        revocation.from == self.holder(slot) && (revocation.direct || !slot.direct)
    }

    /// Whether a revocation that is held ends this register.
    pub(super) fn is_ended(&self, key: RuleKey, slot: &Slot) -> bool {
        slot.record.is_rule() && self.of(key).any(|(_, other)| self.may_end(other, slot))
    }

    /// Ends the registers that this one revokes.
    pub(super) fn end_others(&mut self, key: RuleKey, slot: &Slot) {
        if slot.record.revokes == 0 {
            return;
        }
        let all = self.of(key);
        let ended = all.filter(|(_, s)| s.record.is_rule() && !s.ended && self.may_end(slot, s));
        let ended: Vec<_> = ended.map(|(id, _)| id).collect();
        for id in ended {
            self.end(id);
        }
    }
}
