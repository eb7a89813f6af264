//! The bans that the daemon refused, for callers that keep a list of their own and must not send them again and again.

use std::sync::Arc;

use couic_common::{BatchOutcome, ErrorCode, Rail};
use ipnetwork::IpNetwork;

use crate::{
    held::Due,
    rule::cut,
    state::State,
    verdict::{LONGEST_MESSAGE, is_passing},
};

/// The most refusals that are kept for [`Injector::take_refusals`](crate::Injector::take_refusals).
pub const MOST_REFUSALS: usize = 65_536;

/// A ban that the daemon refused for good: it is not sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its network.
    pub cidr: IpNetwork,
    /// Its tag; empty for none.
    pub tag: Arc<str>,
    /// The kind of refusal.
    pub code: ErrorCode,
    /// The guard rail, if it was one.
    pub rail: Option<Rail>,
    /// The daemon's message, cut.
    pub message: String,
}

/// Those that wait for the caller. None while nothing asks for them.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Option<Vec<Refusal>>);

impl Refusals {
    pub(crate) fn take(&mut self) -> Vec<Refusal> {
        self.0.replace(Vec::new()).unwrap_or_default()
    }
}

/// Keeps those of a batch, which must not have landed yet. `sent` are the places of its jobs.
pub(crate) fn note(state: &State, sent: &[u64], outcome: &BatchOutcome) {
    let held = state.held.lock();
    let mut refusals = state.refusals.lock();
    let Some(kept) = &mut refusals.0 else { return };
    for failure in outcome.failures.iter().filter(|one| !is_passing(one)) {
        let place = usize::try_from(failure.index)
            .ok()
            .and_then(|at| sent.get(at));
        let Some(slot) = place.and_then(|place| held.at(*place)) else {
            continue;
        };
        if matches!(slot.due, Due::Removal) || kept.len() >= MOST_REFUSALS {
            continue;
        }
        kept.push(Refusal {
            cidr: slot.key.cidr.into(),
            tag: Arc::clone(&slot.key.tag),
            code: failure.code,
            rail: failure.rail,
            message: cut(&failure.message, LONGEST_MESSAGE).to_owned(),
        });
    }
}
