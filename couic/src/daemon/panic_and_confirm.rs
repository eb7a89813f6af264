//! The panic switch and pending changes: opened at the start, watched until shutdown.

use std::{sync::Arc, time::Duration};

use couic_common::Health;

use super::{StartError, every::Repeaters, rules::Rules};
use crate::config::Config;
use couic_firewall::{confirm::Confirmations, panic_switch::PanicSwitch};

/// The delay of undoing a change, and of the reminder in the log that nothing is filtered.
const TICK: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub(super) struct PanicAndConfirm {
    pub(super) panic: Arc<PanicSwitch>,
    pub(super) confirmations: Arc<Confirmations>,
}

impl PanicAndConfirm {
    /// Call it after the rules are loaded and before the first packet is matched: an active panic switch stays active,
    /// and an overdue change is undone.
    pub(super) fn open(config: &Config, rules: &Rules) -> Result<Self, StartError> {
        let panic = PanicSwitch::open(&config.working_dir, Arc::clone(&rules.firewall));
        panic.remind();
        let confirmations = Confirmations::open(
            &config.working_dir,
            Arc::clone(&rules.firewall),
            Arc::clone(&rules.sets),
        );
        Ok(Self {
            panic: Arc::new(panic),
            confirmations: Arc::new(confirmations.map_err(StartError::Confirmations)?),
        })
    }

    /// Adds both to the health document.
    pub(super) fn add_to(&self, health: &mut Health) {
        self.panic.mark(health);
        health.confirm_problems = self.confirmations.problems();
    }

    /// On its own thread: undoing may wait for the disk.
    pub(super) fn watch(&self, repeaters: &mut Repeaters) -> Result<(), StartError> {
        let Self {
            panic,
            confirmations,
        } = self.clone();
        let watching = repeaters.every(TICK, "couic-confirm", move || {
            panic.remind();
            panic.retry();
            confirmations.undo_due();
            confirmations.look_after();
        });
        watching.map_err(StartError::system("start threads"))
    }
}
