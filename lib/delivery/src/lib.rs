//! Delivery: queueing, retries, rate limits and durability, so that notifiers need none of it.
//!
//! A [`Notifier`] makes one attempt and returns its outcome. The [`NotificationDispatcher`] adds:
//! - **at least once per notifier**: an accepted notification is delivered or ends as a dead letter with a reason, across
//!   crash and restart. Every attempt carries the same id; duplicates happen only if the process dies between a
//!   delivery and its acknowledgement;
//! - **isolation**: one task, queue, pace and spool per notifier. Producers only enqueue and never wait;
//! - **order**: first in, first out, one in flight. A temporary error (no connection, 5xx, 429) holds the head, a
//!   permanent one removes only that message;
//! - **bounds** by events, bytes and age ([`Policy`]): over 80 % neighbours are merged; a full queue drops the oldest of
//!   the least severe, counts them, and sends one notice with their number;
//! - **backoff**: full jitter between attempts, `Retry-After` honored (across restarts, too, and for an hour at most), a pace, parts of bounded
//!   size, and no retries on 401, 403, 404, 410.
//!
//! It is a [`Notifier`] itself, so that groups compose: as one, it reports success once every member has the
//! notification on disk.
//!
//! ```
//! # use std::{sync::Arc, time::Duration};
//! # use couic_plugin_api::{Kind, Notification, Notifier, NotifyError, Receipt, Severity, async_trait};
//! use couic_delivery::{Member, NotificationDispatcher, Policy};
//!
//! struct Printer;
//!
//! #[async_trait]
//! impl Notifier for Printer {
//!     fn name(&self) -> &str {
//!         "printer"
//!     }
//!
//!     async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
//!         println!("{}", notification.text());
//!         Ok(Receipt::default())
//!     }
//! }
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let spool = tempfile::tempdir()?;
//! let members = vec![Member::new(Arc::new(Printer), Policy::default())];
//! let dispatcher = NotificationDispatcher::start("all", "fw1", Some(spool.path()), members)?;
//! dispatcher.enqueue(&Notification::new(Kind::Test, Severity::Green, "fw1"))?;
//! let undelivered = dispatcher.drain(Duration::from_secs(60)).await;
//! assert!(undelivered.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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

/// Returns how a notifier is run.
pub type About = Arc<dyn Fn() -> NotifierBackend + Send + Sync>;

/// A notifier of the group, with its limits.
#[derive(Clone)]
pub struct Member {
    /// The notifier.
    pub notifier: Arc<dyn Notifier>,
    /// Its limits.
    pub policy: Policy,
    /// How it is run, if known.
    pub about: Option<About>,
    /// Why it failed before its first attempt, if it did: it makes no attempt until an operator resumes or tests it.
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
