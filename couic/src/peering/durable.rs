//! Registers that outlive the process, if the firewall has a journal.
//!
//! Guarantees:
//! - Registers that this node acknowledged to a peer are with the journal's file, rules and tombstones alike.
//! - At the start, a change of a rule that is later than its register (the journal has both, in order) is a
//!   write of this node, as it would have been a moment later. In all other cases the register is right, and put in
//!   force: a rule that is missing because a file is damaged, or does not fit, is never told as a deletion.

use std::{
    io,
    ops::{Deref, DerefMut},
};

use couic_common::{Policy, RuleKey};
use couic_peering::{RecordState, Slot};
use parking_lot::MutexGuard;

use super::{
    engine::{Engine, actor_of},
    state::{Local, SharedRules},
};
use couic_firewall::{
    journal::{Journal, Record, Register, RegisterRow, Registers, Rows, SavedRegister},
    rules::Claim,
};

/// How many registers are dealt with before others get their turn.
const CHUNK: usize = 256;

/// The state under its lock. Changes are with the journal's file once this is gone.
pub(super) struct Locked<'a> {
    // Dropped in this order: the lock is released before the disk is written.
    state: MutexGuard<'a, SharedRules>,
    commit: Commit<'a>,
}

struct Commit<'a> {
    journal: Option<&'a Journal>,
    due: bool,
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        if let Some(journal) = self.journal.filter(|_| self.due) {
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
        let changed = self.state.replica.drain_changed();
        let Some(journal) = self.commit.journal.filter(|_| !changed.is_empty()) else {
            return;
        };
        for key in changed {
            let slot = self.state.replica.get(key);
            journal.append(&row(key, slot));
        }
        self.commit.due = true;
    }
}

fn row(key: RuleKey, slot: Option<&Slot<Local>>) -> Record {
    Record::Register(RegisterRow {
        key,
        register: slot.map(|slot| Register {
            record: slot.record.clone(),
            owner: slot.local.owner.clone(),
        }),
    })
}

impl Engine {
    pub(super) fn locked(&self) -> Locked<'_> {
        Locked {
            state: self.state.lock(),
            commit: Commit {
                journal: self.journal.as_deref(),
                due: false,
            },
        }
    }

    /// Puts the registers of an earlier life back, and keeps all that change from now on. To be called before peers are
    /// talked to, and after the firewall has its rules back.
    pub fn restore(&self, registers: Registers) {
        if self.journal.is_some() {
            self.state.lock().replica.note_changes();
        }
        let mut registers = registers.into_iter().peekable();
        while registers.peek().is_some() {
            let mut state = self.locked();
            for (key, saved) in registers.by_ref().take(CHUNK) {
                self.restore_one(&mut state, key, saved);
            }
        }
    }

    fn restore_one(&self, state: &mut SharedRules, key: RuleKey, saved: SavedRegister) {
        let SavedRegister {
            register: Register { record, owner },
            is_older,
        } = saved;
        let now = self.now();
        let is_live = matches!(record.state, RecordState::Live { .. });
        let actor = actor_of(&owner);
        let slot = Slot {
            record,
            local: Local {
                owner,
                in_force: is_older && is_live,
            },
        };
        state.replica.restore(key, slot);
        let held = self.firewall.claims(key).0;
        if self.firewall.is_kept(key) {
            state.is_refused(key, held);
        } else if is_older {
            self.absorb(state, key, now);
        } else if Claim::alike(&held, &state.wanted(key)) {
            state.is_in_force(key, is_live);
        } else {
            self.enforce(state, key, held, &actor, now);
        }
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
                        .map(|(_, cidr, slot)| row(RuleKey::new(policy, cidr), Some(slot)))
                        .collect()
                };
                rows.iter().try_for_each(&mut *each)?;
            }
        }
        Ok(())
    }
}
