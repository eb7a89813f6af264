//! Writes of this node.

use couic_common::{Reason, ReasonOf, RuleKey};

use super::Replica;
use crate::{Moment, PeerId, Record, RecordState, Slot, Stamp, clock::next_time};

impl Replica {
    /// A write of this node, now: later than every register of the rule. `from` is the peer whose plain jobs it passes
    /// on, or [`PeerId::SELF`].
    pub fn write(&mut self, key: RuleKey, state: RecordState, from: PeerId, now: Moment) {
        self.write_because(key, (state, None), from, now);
    }

    /// The same with the reason of the rule.
    pub fn write_because(
        &mut self,
        key: RuleKey,
        state: (RecordState, Option<&Reason>),
        from: PeerId,
        now: Moment,
    ) {
        self.write_at(key, state, from, self.next_time(key, now), 0);
    }

    /// Ends a rule for all: this node's register, those of others here, and elsewhere as far as this node is trusted.
    pub fn revoke(&mut self, key: RuleKey, now: Moment) {
        let time = self.next_time(key, now);
        self.write_at(key, (RecordState::Deleted, None), PeerId::SELF, time, time);
    }

    fn next_time(&self, key: RuleKey, now: Moment) -> u64 {
        next_time(
            now,
            self.of(key).map(|(_, slot)| slot.record.stamp.time).max(),
        )
    }

    /// A write of this node at an earlier time, Unix milliseconds: for rules from before the replica. Does nothing if
    /// it has a register of the rule already.
    pub fn write_past(
        &mut self,
        key: RuleKey,
        state: (RecordState, Option<&Reason>),
        from: PeerId,
        ms: u64,
    ) {
        if self.own(key).is_none() {
            let then = Moment { wall: ms, mono: 0 };
            self.write_at(key, state, from, next_time(then, None), 0);
        }
    }

    fn write_at(
        &mut self,
        key: RuleKey,
        (state, reason): (RecordState, Option<&Reason>),
        from: PeerId,
        time: u64,
        revokes: u64,
    ) {
        let before = self.own(key).map(|slot| &slot.record);
        let covers = before.map_or(0, Record::to_cover);
        let revokes = before.map_or(revokes, |before| before.revokes.max(revokes));
        let node = self.node;
        let stamp = Stamp { time, node };
        let is_rule = matches!(state, RecordState::Live { .. });
        let record = Record {
            stamp,
            state,
            covers,
            revokes,
        };
        let mut slot = Slot {
            record,
            shift: 0,
            from,
            direct: from != PeerId::SELF,
            ended: false,
            heeded: true,
            in_force: is_rule,
            reason: self.reasons.hold_reason(reason, ReasonOf::Own),
        };
        slot.ended = self.is_ended(key, &slot);
        self.put(key, slot.clone());
        self.reasons.release(slot.reason);
        self.end_others(key, &slot);
    }

    /// Answers a record in this node's name that this node did not write: by what it says itself, written anew.
    pub(super) fn refute(&mut self, key: RuleKey, record: &Record, now: Moment) {
        let own = self.own(key);
        let state = own.map_or(RecordState::Deleted, |slot| slot.record.state.clone());
        let (from, in_force) = own.map_or((PeerId::SELF, false), |s| (s.from, s.in_force));
        let ended = own.is_some_and(|slot| slot.ended);
        let last = own.map_or(0, |slot| slot.record.stamp.time);
        let time = next_time(now, Some(last.max(record.stamp.time)));
        let reason = own.and_then(|slot| self.reason(slot)).cloned();
        self.write_at(key, (state, reason.as_ref()), from, time, 0);
        let id = self.own_id(key);
        if let Some(slot) = self.slots[key.policy as usize].get_mut(&super::place(id)) {
            (slot.in_force, slot.ended) = (in_force, ended);
        }
    }
}
