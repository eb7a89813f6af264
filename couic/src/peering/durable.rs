//! Persists registers, if the firewall has a journal.
//!
//! What holds:
//! - A register acknowledged to a peer is in the journal file, rules and tombstones alike.
//! - At the start, a rule change that is later in the journal than its register becomes a write of this node, as it
//!   would have a moment later. Otherwise the register is right, and is enforced: a rule that is missing because of a
//!   damaged file or a full table is never sent as a deletion.

use std::{
    io,
    ops::{Deref, DerefMut},
};

use couic_common::{Cidr, Policy};
use couic_peering::{Slot, State as Says};
use parking_lot::MutexGuard;

use super::engine::{Engine, Local, State};
use couic_firewall::{
    journal::{ClaimOwner, Journal, Record, Register, RegisterRow, Registers, Rows, SavedRegister},
    rules::{Actor, Holder},
};

/// Registers processed per hold of the lock.
const SPELL: usize = 256;

/// The locked state. On drop, changes are committed to the journal.
pub(super) struct Locked<'a> {
    // In drop order: the lock is released before the commit waits for the disk.
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
        let changed = self.state.replica.take_changed();
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

    /// Restores the recovered registers, and journals changes from now on. To be called after the firewall has restored
    /// its rules, and before connecting to peers.
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
        // A change made before the log was begun must not look later than its register.
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
