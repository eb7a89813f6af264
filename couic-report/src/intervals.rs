//! Closes intervals: turns their figures into summaries and passes those to the dispatcher.
//!
//! An interval is closed in the journal first. Its summary leaves the journal only once it is in the dispatcher's
//! spool: after a crash in between, it is found again under the same id, and the dispatcher ignores ids that it still
//! holds. An interval that ended while the service was down is closed at the next start.

use std::{collections::HashSet, sync::Arc, time::Duration};

use couic_common::unix_seconds;
use couic_delivery::{NotificationDispatcher, spool::Durability};
use couic_plugin_api::{Kind, Notification, NotifyError, Severity, Summary, TagCount};
use tokio::{sync::watch, time};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    config::Thresholds,
    state::{Journal, Seal, Sealed},
};

/// The delay before a failed close or hand-over is retried.
const RETRY: Duration = Duration::from_secs(2);

/// Closes intervals until stopped.
pub(crate) struct Intervals {
    pub(crate) journal: Journal,
    pub(crate) dispatcher: Arc<NotificationDispatcher>,
    pub(crate) thresholds: Thresholds,
    pub(crate) length: Duration,
    /// The name of this server.
    pub(crate) server: String,
    /// Handed over, but possibly not on disk yet.
    pub(crate) in_memory: HashSet<Uuid>,
}

impl Intervals {
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let mut wait = self.until_due();
            if wait.is_zero() {
                wait = match self.close().await {
                    Ok(()) => Duration::ZERO,
                    Err(error) => {
                        warn!("the interval cannot be closed yet: {error}");
                        RETRY
                    }
                };
            }
            if !self.hand_over().await {
                wait = wait.min(RETRY);
            }
            tokio::select! {
                () = time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Never longer than an interval: a clock set back must not stop the summaries.
    fn until_due(&self) -> Duration {
        let due = self.journal.overview().from + self.length.as_secs();
        Duration::from_secs(due.saturating_sub(unix_seconds())).min(self.length)
    }

    async fn close(&self) -> Result<(), crate::state::Refused> {
        let now = unix_seconds();
        let seal = Seal {
            until: now.max(self.journal.overview().from),
            next_from: now,
            next_id: Uuid::new_v4(),
        };
        self.journal.seal(seal).await
    }

    /// Hands over the pending summaries. False if a retry is needed.
    async fn hand_over(&mut self) -> bool {
        let Ok(outbox) = self.journal.outbox().await else {
            return false;
        };
        for sealed in outbox {
            if !self.hand_over_one(&sealed).await {
                return false;
            }
        }
        true
    }

    async fn hand_over_one(&mut self, sealed: &Sealed) -> bool {
        let id = sealed.id;
        let colour = self.thresholds.colour(sealed.adds);
        if colour >= self.thresholds.min && !self.in_memory.contains(&id) {
            let notification = notification(sealed, colour, &self.server);
            match self.dispatcher.enqueue_once(&notification) {
                Ok(()) => info!("interval closed: {}", notification.text()),
                Err(NotifyError::Cancelled) => return false,
                Err(error) => error!("a summary cannot be queued and is lost: {error}"),
            }
            self.in_memory.insert(id);
        }
        if self.dispatcher.durable().await == Durability::Memory && !self.spools_are_absent() {
            return false;
        }
        if self.journal.handed(id).await.is_err() {
            return false;
        }
        self.in_memory.remove(&id);
        true
    }

    /// Without a notifier there is no disk to wait for.
    fn spools_are_absent(&self) -> bool {
        self.dispatcher.list().is_empty()
    }
}

/// The notification of a closed interval.
fn notification(sealed: &Sealed, colour: Severity, server: &str) -> Notification {
    let tag = |(tag, count): &(String, u64)| TagCount {
        tag: tag.clone(),
        count: *count,
    };
    let sources = match sealed.sources.as_slice() {
        // A single instance needs no name.
        [] | [_] => Vec::new(),
        several => several
            .iter()
            .map(|(name, adds)| format!("{name} ({adds})"))
            .collect(),
    };
    Notification {
        id: sealed.id,
        kind: Kind::Summary(Summary {
            from: sealed.from,
            until: sealed.until,
            total: sealed.adds,
            distinct_cidrs: sealed.distinct,
            distinct_is_estimate: sealed.estimated,
            top_tags: sealed.top_tags.iter().map(tag).collect(),
            sources,
        }),
        severity: colour,
        created: sealed.until,
        source: server.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_named_if_there_are_several() {
        let mut sealed = Sealed {
            id: Uuid::from_u128(1),
            from: 10,
            until: 70,
            adds: 12,
            distinct: 9,
            estimated: true,
            top_tags: vec![("ssh".to_owned(), 7)],
            sources: vec![("fw1".to_owned(), 12)],
        };
        let of = |sealed: &Sealed| {
            let sent = notification(sealed, Severity::Orange, "prod");
            assert_eq!(
                (sent.id, sent.created, sent.source.as_str()),
                (sealed.id, 70, "prod")
            );
            let Kind::Summary(summary) = sent.kind else {
                panic!("no summary");
            };
            summary
        };
        let one = of(&sealed);
        assert!(one.sources.is_empty() && one.distinct_is_estimate);
        assert_eq!(
            (one.total, one.distinct_cidrs, one.top_tags[0].count),
            (12, 9, 7)
        );
        sealed.sources.push(("fw2".to_owned(), 0));
        assert_eq!(of(&sealed).sources, ["fw1 (12)", "fw2 (0)"]);
    }
}
