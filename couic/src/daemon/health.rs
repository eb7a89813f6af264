//! `GET /v1/health`, collected for each request.

use std::sync::Arc;

use couic_common::Health;
use couic_firewall::rules::Firewall;

use super::{
    filter::Filter,
    panic_and_confirm::PanicAndConfirm,
    reload::ReloadState,
    room,
    state::{self, UnsavedState},
};
use crate::{exporter::ListenProblem, peering::Engine, reporting::Notifiers};

/// The sources of the document.
pub(super) struct HealthSources {
    pub(super) filter: Arc<Filter>,
    pub(super) firewall: Arc<Firewall>,
    pub(super) panic_and_confirm: PanicAndConfirm,
    /// Found at the start, as are the next two.
    pub(super) unsaved: UnsavedState,
    pub(super) notes: Vec<String>,
    pub(super) missing_features: Vec<String>,
    pub(super) notifiers: Option<Notifiers>,
    pub(super) peers: Option<Arc<Engine>>,
    pub(super) metrics: Option<ListenProblem>,
    /// Of the configuration file.
    pub(super) reload: Arc<ReloadState>,
}

impl HealthSources {
    /// The function that answers a request.
    pub(super) fn document(self) -> Arc<dyn Fn() -> Health + Send + Sync> {
        Arc::new(move || {
            let notifiers = self.notifiers.as_ref().map(Notifiers::problems);
            let peers = self.peers.as_ref().map(|engine| engine.problems());
            let mut health = Health {
                notifier_problems: notifiers.unwrap_or_default(),
                peer_problems: peers.unwrap_or_default(),
                state_problems: state::problems(&self.firewall),
                metrics_problem: self.metrics.as_ref().and_then(ListenProblem::get),
                config_problem: self.reload.problem(),
                notes: self.notes.clone(),
                missing_features: self.missing_features.clone(),
                ..self.filter.health()
            };
            let machine = self.peers.as_ref().and_then(|e| e.machine_problem());
            health.state_problems.extend(machine);
            health.state_problems.extend(self.unsaved.problems());
            health.notes.extend(self.reload.pending());
            health.state_problems.extend(room::problems(&self.firewall));
            if let Some(guard) = self.firewall.guard() {
                health.rule_problems = guard.problems(&self.firewall);
                health.set_notes = guard.set_report().1;
            }
            self.panic_and_confirm.add_to(&mut health);
            health.status = health.derived_status();
            health
        })
    }
}
