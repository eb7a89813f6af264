//! Applies the outcome of an attempt to the queue: continue, wait, split, drop the message, or fail the notifier.

use std::time::Duration;

use couic_common::{NotifierState, counted};
use couic_plugin_api::{Kind, Notice, Notification, Severity};
use tokio::time::Instant;

use super::{
    backoff,
    worker::{Outcome, Worker, describe},
};

/// Panics or crashes in a row after which the message is considered the cause.
const MAX_SUSPECTS: u32 = 3;
/// Deliveries in a row after which a limit that was lowered by a 413 is doubled.
const RAISE_AFTER: u32 = 16;
/// How long a notice about dropped notifications waits for the queue to shrink.
const NOTICE_PATIENCE: Duration = Duration::from_secs(300);
/// The longest wait that a receiver may ask for: it decides when it is asked again, not for how long notifications are
/// lost.
pub(super) const LONGEST_HOLD: Duration = Duration::from_secs(3600);

impl Worker {
    pub(super) fn delivered(&mut self, pause: Option<Duration>, after: u64, last: bool) {
        self.raise_limit();
        self.done_with(after, last);
        {
            let mut inner = self.queue.inner.lock();
            inner.counters.delivered += u64::from(last);
            inner.state = NotifierState::Ok;
            inner.next_attempt = None;
        }
        if let Some(pause) = pause {
            self.set_hold(pause, NotifierState::Ok);
        }
        self.report_dropped();
    }

    /// The part is delivered or given up.
    fn done_with(&mut self, after: u64, last: bool) {
        self.backoff.succeeded();
        self.suspects = 0;
        if last {
            self.read = None;
            self.queue.finish();
        } else {
            self.queue.advance(after);
        }
    }

    fn raise_limit(&mut self) {
        let full = self.queue.policy.part_reports.max(1);
        if self.part_reports == full {
            return;
        }
        self.delivered_in_a_row += 1;
        if self.delivered_in_a_row >= RAISE_AFTER {
            self.delivered_in_a_row = 0;
            self.part_reports = self.part_reports.saturating_mul(2).min(full);
        }
    }

    /// Queues one notice about dropped notifications, once the queue has shrunk or after some minutes.
    fn report_dropped(&mut self) {
        let (unreported, pressed) = {
            let inner = self.queue.inner.lock();
            (inner.unreported, inner.waiting.is_pressed())
        };
        let patient = self
            .last_notice
            .is_some_and(|at| at.elapsed() < NOTICE_PATIENCE);
        if unreported == 0 {
            self.last_notice = None;
            return;
        }
        if pressed && (patient || self.last_notice.is_none()) {
            self.last_notice.get_or_insert_with(Instant::now);
            return;
        }
        self.last_notice = Some(Instant::now());
        let name = &self.queue.name;
        let notice = Notice {
            code: "dropped".to_owned(),
            message: format!(
                "{}: the queue of {name} was full",
                counted(
                    unreported,
                    "notification was dropped",
                    "notifications were dropped"
                )
            ),
        };
        let notice = Notification {
            created: self.queue.clock.unix_secs(),
            ..Notification::new(Kind::Notice(notice), Severity::Orange, self.source.clone())
        };
        self.queue.report_dropped(&notice);
    }

    pub(super) fn hold(&mut self, wait: Duration) {
        self.set_hold(wait, NotifierState::RateLimited);
    }

    pub(super) fn set_hold(&mut self, wait: Duration, state: NotifierState) {
        let now = Instant::now();
        let until = now + wait.min(LONGEST_HOLD);
        // Handed to the spool before it is visible.
        self.queue.hold_until(until);
        let mut inner = self.queue.inner.lock();
        inner.state = state;
        inner.next_attempt = Some(until);
    }

    pub(super) fn retry(&mut self) {
        let wait = backoff::failed(&mut self.backoff);
        let mut inner = self.queue.inner.lock();
        inner.state = NotifierState::Retrying;
        inner.next_attempt = Some(Instant::now() + wait);
    }

    pub(super) fn suspect(
        &mut self,
        part: Notification,
        after: u64,
        last: bool,
        outcome: &Outcome,
    ) {
        self.suspects += 1;
        if self.suspects < MAX_SUSPECTS {
            return self.retry();
        }
        let why = format!("{MAX_SUSPECTS} times in a row: {}", describe(outcome));
        self.dead(part, after, last, why);
    }

    pub(super) fn split(&mut self, part: Notification, after: u64, last: bool, outcome: &Outcome) {
        self.delivered_in_a_row = 0;
        match &part.kind {
            Kind::Reports(reports) if reports.len() > 1 => self.part_reports = reports.len() / 2,
            _ => {
                // This message was too large: restore the limit for the others.
                self.part_reports = self.queue.policy.part_reports.max(1);
                self.dead(part, after, last, describe(outcome));
            }
        }
    }

    pub(super) fn dead(&mut self, part: Notification, after: u64, last: bool, why: String) {
        self.queue.bury(Some(part), why);
        self.done_with(after, last);
        let mut inner = self.queue.inner.lock();
        inner.state = NotifierState::Ok;
        inner.next_attempt = None;
    }

    pub(super) fn fail(&mut self) {
        let mut inner = self.queue.inner.lock();
        inner.state = NotifierState::Failed;
        inner.next_attempt = None;
        let why = inner
            .last_error
            .as_ref()
            .map_or("", |error| error.message.as_str());
        tracing::error!(
            notifier = self.queue.name.as_str(),
            why,
            "the notifier has failed: its queue is kept. Correct its configuration, then test it"
        );
    }
}
