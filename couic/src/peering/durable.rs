//! Registers that outlive the process, where the firewall has a journal.
//!
//! What holds:
//! - What a peer was told that this node has taken is with the journal's file, rules and tombstones alike.
//! - At the start, what was done to a rule later than its register was written (the journal has both, in order) is a
//!   write of this node, as it would have been a moment later. In all other cases the register is right, and put in
//!   force: a rule that is missing because a file is damaged, or does not fit, is never told as a deletion.

use std::{
    io,
    ops::{Deref, DerefMut},
};

use couic_common::{Cidr, Policy};
use couic_peering::{Slot, RecordState as Says};
use parking_lot::MutexGuard;

use super::engine::{Engine, Local, State};
use couic_firewall::{
    journal::{ClaimOwner, Journal, Record, Register, RegisterRow, Registers, Rows, SavedRegister},
    rules::{Actor, Holder},
};

/// How many registers are dealt with before others get their turn.
const SPELL: usize = 256;

/// The state under its lock. What was changed is with the journal's file once this is gone.
pub(super) struct Locked<'a> {
    // In the order in which they go: nobody waits for the disk under the lock.
    state: MutexGuard<'a, State>,
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
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let changed = self.state.replica.drain_changed();
        let Some(journal) = self.commit.journal.filter(|_| !changed.is_empty()) else {
            return;
        };
        for (policy, cidr) in changed {
            let slot = self.state.replica.get(policy, cidr);
            journal.append(&row(policy, cidr, slot));
        }
        self.commit.due = true;
    }
}

fn row(policy: Policy, cidr: Cidr, slot: Option<&Slot<Local>>) -> Record {
    Record::Register(RegisterRow {
        policy,
        cidr,
        register: slot.map(|slot| Register {
            record: slot.record.clone(),
            holder: match &slot.local.holder {
                Holder::Api => ClaimOwner::Api,
                Holder::Peer(name) => ClaimOwner::Peer(name.clone()),
            },
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
            for (key, saved) in registers.by_ref().take(SPELL) {
                self.bring_back(&mut state, key, saved);
            }
        }
    }

    fn bring_back(&self, state: &mut State, (policy, cidr): (Policy, Cidr), saved: SavedRegister) {
        let SavedRegister {
            register: Register { record, holder },
            is_older,
        } = saved;
        let now = self.now();
        let is_live = matches!(record.state, Says::Live { .. });
        let holder = match holder {
            ClaimOwner::Api => Holder::Api,
            ClaimOwner::Peer(name) => Holder::Peer(name.clone()),
        };
        let actor = match &holder {
            Holder::Api => Actor::Expiry,
            Holder::Peer(name) => Actor::Peer(name.clone()),
        };
        let slot = Slot {
            record,
            local: Local {
                holder,
                in_force: is_older && is_live,
            },
        };
        state.replica.restore(policy, cidr, slot);
        let held = self.firewall.held(policy, cidr).0;
        if self.firewall.is_kept(policy, cidr) {
            state.is_refused(policy, cidr, held);
        } else if is_older {
            self.absorb(state, policy, cidr, now);
        } else if held.iter().eq(state.wanted(policy, cidr).iter()) {
            state.is_in_force(policy, cidr, is_live);
        } else {
            self.enforce(state, (policy, cidr), held, &actor, now);
        }
    }
}

impl Rows for Engine {
    fn rows(&self, each: &mut dyn FnMut(&Record) -> io::Result<()>) -> io::Result<()> {
        // What was done to a rule before the log was begun must not be taken for something later than its register.
        self.look_at_everything();
        for policy in Policy::ALL {
            for first in (0..=u16::MAX).step_by(SPELL) {
                let range = (first, first | (SPELL as u16 - 1));
                let rows: Vec<Record> = {
                    let state = self.locked();
                    let slots = state.replica.in_leaves(policy, range);
                    slots
                        .map(|(_, cidr, slot)| row(policy, cidr, Some(slot)))
                        .collect()
                };
                rows.iter().try_for_each(&mut *each)?;
            }
        }
        Ok(())
    }
}
