//! Registers that outlive the process, if the firewall has a journal.
//!
//! Guarantees:
//! - Registers that this node acknowledged to a peer are with the journal's file, rules and tombstones alike.
//! - At the start, a change of a rule that is later than its register (the journal has both, in order) is a
//!   write of this node, as it would have been a moment later. In all other cases the register is right, and put in
//!   force: a rule that is missing because a file is damaged, or does not fit, is never told as a deletion. A node without
//!   its registers, or with damaged ones, takes what peers say that it wrote before the start, as theirs.

use std::{
    io,
    ops::{Deref, DerefMut},
};

use couic_common::{Policy, ReasonId, RuleKey};
use couic_peering::{Moment, PeerId, RegisterId, Slot};
use parking_lot::MutexGuard;

use super::{
    engine::Engine,
    state::{SharedRules, Terms},
};
use couic_firewall::{
    journal::{Journal, Record, Register, RegisterRow, Registers, Rows, SavedRegister},
    rules::{Actor, Owner},
};

/// How many registers are dealt with before others get their turn.
const CHUNK: usize = 256;

/// The state under its lock. Once this is gone, changes are with the journal's file, before any peer hears of them, and
/// those that digests do not show are in the queues.
pub(super) struct Locked<'a> {
    // Dropped in this order: the lock is released before the disk is written.
    state: MutexGuard<'a, SharedRules>,
    commit: Commit<'a>,
}

struct Commit<'a>(&'a Engine);

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        if let Some(journal) = &self.0.journal {
            journal.commit();
        }
    }
}

impl Deref for Locked<'_> {
    type Target = SharedRules;

    fn deref(&self) -> &SharedRules {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut SharedRules {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let engine = self.commit.0;
        engine.append_changed(&mut self.state);
        for id in self.state.replica.drain_ended() {
            self.state.tell(id, engine.now());
        }
    }
}

impl SharedRules {
    fn row(&self, id: RegisterId, slot: Option<&Slot>) -> Record {
        Record::Register(RegisterRow {
            key: id.key,
            author: Some(id.author),
            register: slot.map(|slot| Register {
                record: slot.record.clone(),
                shift: slot.shift,
                from: self.name_of(slot.from).cloned(),
                direct: slot.direct,
                ended: slot.ended,
                heeded: slot.heeded,
                reason: self.replica.reason(slot).cloned(),
            }),
        })
    }
}

impl Engine {
    pub(super) fn locked(&self) -> Locked<'_> {
        Locked {
            state: self.state.lock(),
            commit: Commit(self),
        }
    }

    /// Appends registers to the journal, before claims that they ask for: a claim without its register would be taken for
    /// this node's own word after a kill -9.
    pub(super) fn append_changed(&self, state: &mut SharedRules) {
        let changed = state.replica.drain_changed();
        if let Some(journal) = &self.journal {
            for id in changed {
                journal.append(&state.row(id, state.replica.get(id)));
            }
        }
    }

    /// Puts the registers of an earlier life back, and keeps all that change from now on. To be called before peers are
    /// talked to, and after the firewall has its rules back.
    pub fn restore(&self, registers: Registers) {
        {
            let (now, mut state) = (self.now(), self.state.lock());
            let is_whole = |journal: &Journal| journal.problems().is_empty();
            if registers.is_empty() || !self.journal.as_deref().is_some_and(is_whole) {
                state.replica.recall_before(now.wall);
            }
            if self.journal.is_some() {
                state.replica.note_changes();
            }
        }
        let mut registers = registers.into_iter().peekable();
        while registers.peek().is_some() {
            let mut state = self.locked();
            let now = self.now();
            for _ in 0..CHUNK {
                let Some(((key, _), saved)) = registers.next() else {
                    break;
                };
                let mut fresh = Vec::new();
                let mut next = Some(saved);
                while let Some(saved) = next.take() {
                    fresh.extend(self.restore_one(&mut state, key, saved, now));
                    let same = registers.next_if(|((other, _), _)| *other == key);
                    next = same.map(|(_, saved)| saved);
                }
                self.restored(&mut state, key, &fresh, now);
            }
        }
    }

    /// Returns the peer whose register is later than the claims on the rule.
    fn restore_one(
        &self,
        state: &mut SharedRules,
        key: RuleKey,
        saved: SavedRegister,
        now: Moment,
    ) -> Option<PeerId> {
        let SavedRegister { register, is_older } = saved;
        let is_own = register.record.author() == state.replica.node().machine();
        let from = match &register.from {
            Some(name) => self.traffic(state, name, now).id,
            None if is_own => PeerId::SELF,
            // This machine has another number now: the rule is there, and becomes a register of that.
            None => return None,
        };
        let in_force = is_older && register.record.is_rule() && !register.ended;
        let slot = Slot {
            record: register.record,
            shift: register.shift,
            from,
            direct: register.direct,
            ended: register.ended,
            heeded: register.heeded,
            in_force,
            reason: ReasonId::NONE,
        };
        state.replica.restore(key, slot, register.reason.as_ref());
        (!is_older && !is_own).then_some(from)
    }

    fn restored(&self, state: &mut SharedRules, key: RuleKey, fresh: &[PeerId], now: Moment) {
        if self.firewall.is_kept(key) {
            for peer in state.peers_of(key).into_iter().chain([PeerId::SELF]) {
                state.replica.set_in_force(key, peer, false, now);
                state.waiting.insert((key, peer));
            }
            return;
        }
        let held = self.firewall.claims(key).0;
        for peer in fresh {
            let Some(name) = state.name_of(*peer).cloned() else {
                continue;
            };
            // The claim is what an earlier register asked for.
            let owner = Owner::Peer(name.clone());
            let had = held.iter().find(|claim| claim.owner == owner);
            let had = had.map(Terms::of);
            self.enforce(state, key, (*peer, had), &Actor::Peer(name), now);
        }
        self.absorb(state, key, now);
        let before = state.standing(key);
        self.settle(state, key, before, &Actor::Expiry, now);
    }
}

impl Rows for Engine {
    fn rows(&self, each: &mut dyn FnMut(&Record) -> io::Result<()>) -> io::Result<()> {
        // A change made before the log was started must not be replayed after its register.
        self.scan();
        for policy in Policy::ALL {
            for first in (0..=u16::MAX).step_by(CHUNK) {
                let range = (first, first | (CHUNK as u16 - 1));
                let rows: Vec<Record> = {
                    let state = self.locked();
                    let slots = state.replica.in_leaves(policy, range);
                    slots
                        .map(|(_, id, slot)| state.row(id, Some(slot)))
                        .collect()
                };
                rows.iter().try_for_each(&mut *each)?;
            }
        }
        Ok(())
    }
}
