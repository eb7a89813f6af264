//! Delivery of notifications, at least once: everything that a notifier itself must not have to care about.
//!
//! A [`Notifier`] makes one attempt and says how it ended. The [`NotificationDispatcher`] makes of that:
//! - **at least once per notifier**: what was accepted is delivered or ends as a dead letter with a reason, across
//!   crash and restart. Every attempt carries the same id; duplicates happen only when the process dies between a
//!   delivery and its acknowledgement;
//! - **isolation**: one task, queue, pace and spool per notifier. Producers only hand over and never wait;
//! - **order**: first in, first out, one in flight. Failures that may pass (no connection, 5xx, 429) hold the head,
//!   permanent ones remove only that message;
//! - **bounds** by events, bytes and age ([`Policy`]): over 80 % neighbours are merged; a full queue sheds the oldest of
//!   the least severe, counts them, and one notice says how many;
//! - **manners**: full jitter between attempts, `Retry-After` never undercut (across a restart neither), a pace, parts
//!   of bounded size, and no hammering on 401, 403, 404, 410.
//!
//! It is a [`Notifier`] itself, so that groups compose: as one, it reports success once every member has the
//! notification on disk.

mod backoff;
mod clock;
mod dead_letters;
mod delivery_queue;
mod dispatcher;
mod disposition;
mod effects;
mod envelope;
mod figures;
mod merge;
mod once;
mod operate;
mod parts;
mod policy;
mod queue;
mod shedding;
pub mod spool;
mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;

use couic_common::NotifierBackend;
use couic_plugin_api::Notifier;

pub use dispatcher::{DispatchError, Leftover, NotificationDispatcher};
pub use figures::{FIGURES, Figure};
pub use policy::{Merge, Policy};
pub use status::{AttemptTimes, OperateError, TestOutcome};

/// Tells how a notifier is run.
pub type About = Arc<dyn Fn() -> NotifierBackend + Send + Sync>;

/// A notifier of the group, with its limits.
#[derive(Clone)]
pub struct Member {
    /// The notifier.
    pub notifier: Arc<dyn Notifier>,
    /// Its limits.
    pub policy: Policy,
    /// How it is run, if that is known.
    pub about: Option<About>,
    /// Why it has failed before its first attempt, if it has: nothing is tried until an operator resumes or tests it.
    pub failed: Option<String>,
}

impl Member {
    /// A member with these limits.
    #[must_use]
    pub fn new(notifier: Arc<dyn Notifier>, policy: Policy) -> Self {
        Self {
            notifier,
            policy,
            about: None,
            failed: None,
        }
    }
}
