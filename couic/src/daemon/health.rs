//! `GET /v1/health`, collected for each request.

use std::sync::Arc;

use couic_common::Health;
use couic_firewall::rules::Firewall;

use super::{
    filter::Filter,
    panic_and_confirm::PanicAndConfirm,
    state::{self, UnsavedState},
};
use crate::{peering::Engine, reporting::Notifiers};

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
}

impl HealthSources {
    /// The function that answers a request.
    pub(super) fn document(self) -> Arc<dyn Fn() -> Health + Send + Sync> {
        Arc::new(move || {
            let notifiers = self.notifiers.as_ref().map(Notifiers::problems);
            let peers = self.peers.as_ref().map(|engine| engine.problems());
            let mut health = self
                .filter
                .health(notifiers.unwrap_or_default(), peers.unwrap_or_default());
            health.notes.clone_from(&self.notes);
            health.missing_features.clone_from(&self.missing_features);
            let health = state::add_to_health(health, &self.firewall);
            self.panic_and_confirm
                .marked(self.unsaved.add_to_health(health))
        })
    }
}
