//! The panic switch and the changes that wait to be confirmed, as the start finds them.

use std::{sync::Arc, time::Duration};

use couic_common::Health;

use super::{StartError, every::Repeaters, rules::Rules};
use crate::config::Config;
use couic_firewall::{confirm::Confirmations, panic_switch::PanicSwitch};

/// How late a change may be undone, or the log say again that nothing is filtered.
const TICK: Duration = Duration::from_millis(200);

/// Both.
#[derive(Clone)]
pub(super) struct PanicAndConfirm {
    pub(super) panic: Arc<PanicSwitch>,
    pub(super) confirmations: Arc<Confirmations>,
}

impl PanicAndConfirm {
    /// When the rules are in force, and before the first packet is judged: a wall that is open stays open, and a change
    /// whose time is over is undone.
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

    /// The health document with what is to be said of both.
    pub(super) fn marked(&self, mut health: Health) -> Health {
        self.panic.mark(&mut health);
        self.confirmations.mark(&mut health);
        health
    }

    /// On a thread of its own: undoing may wait for the disk.
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
