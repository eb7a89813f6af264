//! A notifier's status for operators, in the form of the API. Metrics are made from it, too.

use std::{collections::BTreeMap, time::Duration};

use couic_common::{NotifierBackend, NotifierInfo, NotifierSpool, NotifierState, counted};
use couic_plugin_api::{NotifyError, Receipt};
use tokio::time::Instant;

use super::delivery_queue::DeliveryQueue;

/// Upper bounds of the buckets of [`AttemptTimes`], in seconds. One more bucket is beyond the last.
const ATTEMPT_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The age in seconds from which undelivered notifications are a problem: a restart of the receiver takes less.
const LATE_SECS: u64 = 600;

/// Dead letters in a row from which the receiver is the problem, rather than one notification that it does not like.
const MANY_REFUSED: u64 = 3;

/// A histogram of attempt durations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttemptTimes {
    /// Attempts per bucket of [`ATTEMPT_BUCKETS`], not cumulative; the last is for those beyond all bounds.
    pub buckets: [u64; ATTEMPT_BUCKETS.len() + 1],
    /// The sum, in seconds.
    pub sum: f64,
    /// The number of attempts.
    pub count: u64,
}

impl AttemptTimes {
    /// The buckets as a histogram has them: upper bounds in seconds, the last of them infinite, with cumulative counts.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = ATTEMPT_BUCKETS.into_iter().chain([f64::INFINITY]);
        bounds.zip(self.buckets).scan(0, |below, (bound, count)| {
            *below += count;
            Some((bound, *below))
        })
    }

    pub(super) fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = ATTEMPT_BUCKETS.iter().position(|&bound| seconds <= bound);
        self.buckets[at.unwrap_or(ATTEMPT_BUCKETS.len())] += 1;
        self.sum += seconds;
        self.count += 1;
    }
}

/// Counters since the start of the process, as [`NotifierInfo`] documents them.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) enqueued: u64,
    pub(super) delivered: u64,
    pub(super) attempts: BTreeMap<&'static str, u64>,
    pub(super) dropped: u64,
    pub(super) merged: u64,
    pub(super) dead: u64,
    /// Dead letters since the last success.
    pub(super) refused_in_a_row: u64,
    pub(super) attempt_seconds: AttemptTimes,
}

impl DeliveryQueue {
    pub(super) fn status(&self) -> NotifierInfo {
        let unknown = || NotifierBackend {
            plugin: self.name.to_string(),
            ..NotifierBackend::default()
        };
        let backend = self.about.as_ref().map_or_else(unknown, |about| about());
        let now = self.clock.unix_secs();
        let inner = self.inner.lock();
        let waits = |at: Instant| at.saturating_duration_since(Instant::now());
        let next = inner.next_attempt.map(waits);
        let next = next.filter(|left| *left > Duration::ZERO);
        let age = |queued: u64| now.saturating_sub(queued);
        let counters = &inner.counters;
        let refused = counters.refused_in_a_row;
        let attempts = counters.attempts.iter();
        let failed = attempts.clone().filter(|(kind, _)| **kind != "delivered");
        let mut info = NotifierInfo {
            name: self.name.clone(),
            plugin: backend.plugin,
            mode: backend.mode,
            state: inner.shown_state(next),
            problems: Vec::new(),
            last_error: inner.last_error.clone(),
            last_success: inner.last_success,
            next_attempt_secs: next.map(|left| left.as_secs_f64().ceil() as u64),
            queue_events: inner.waiting.len() as u64,
            queue_bytes: inner.waiting.bytes() as u64,
            oldest_age_secs: inner.waiting.oldest().map_or(0, |item| age(item.queued)),
            dead_letters: inner.dead.len() as u64,
            enqueued: counters.enqueued,
            delivered: counters.delivered,
            failed_attempts: failed.map(|(_, count)| count).sum(),
            attempts: attempts.map(|(kind, n)| ((*kind).to_owned(), *n)).collect(),
            dropped: counters.dropped,
            merged: counters.merged,
            dead: counters.dead,
            restarts: backend.restarts,
            spool: self.spool_state(),
        };
        info.problems = problems(&info, refused, backend.problem);
        info
    }

    fn spool_state(&self) -> Option<NotifierSpool> {
        let Some(spool) = &self.spool else {
            return self.no_spool.clone().map(|why| NotifierSpool {
                bytes: 0,
                segments: 0,
                problem: Some(why),
            });
        };
        let status = spool.status();
        Some(NotifierSpool {
            bytes: status.bytes,
            segments: status.segments as u64,
            problem: status.alarm.map(|why| why.to_string()),
        })
    }
}

/// Problems that need an operator, each as a predicate whose subject is the notifier's name. `refused` is how many
/// notifications have become dead letters since the last success.
pub(super) fn problems(info: &NotifierInfo, refused: u64, backend: Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let why = info.last_error.as_ref().map_or("", |error| &error.message);
    if info.state == NotifierState::Failed {
        problems.push(format!("has failed: {why}"));
    } else if info.oldest_age_secs >= LATE_SECS {
        let minutes = info.oldest_age_secs / 60;
        problems.push(match info.state {
            NotifierState::Ok => format!(
                "is {minutes} minutes behind, with {} waiting: its receiver is too slow, or the queue was long",
                info.queue_events
            ),
            _ => format!("has not delivered for {minutes} minutes: {why}"),
        });
    } else if info.next_attempt_secs.is_some_and(|wait| wait >= LATE_SECS) {
        let minutes = info.next_attempt_secs.unwrap_or(0).div_ceil(60);
        problems.push(format!(
            "waits {minutes} more minutes because its receiver asked for that; couicctl notifiers resume {} ends it: {why}",
            info.name
        ));
    } else if refused >= MANY_REFUSED || (refused > 0 && info.last_success.is_none()) {
        let since = if info.last_success.is_some() {
            "lately"
        } else {
            "yet"
        };
        let dead = counted(
            refused,
            "notification became a dead letter",
            "notifications became dead letters",
        );
        problems.push(format!("has delivered nothing {since}, {dead}: {why}"));
    }
    if let Some(why) = info.spool.as_ref().and_then(|spool| spool.problem.as_ref()) {
        problems.push(format!("keeps notifications in memory only: {why}"));
    }
    problems.extend(backend);
    problems
}

/// Why an operation on a notifier failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// No notifier has this name.
    #[error("there is no notifier {name:?}")]
    Unknown {
        /// The requested name.
        name: String,
    },
    /// No dead letter has this key.
    #[error("notifier {name:?} has no dead letter {key}")]
    NoSuchLetter {
        /// The notifier.
        name: String,
        /// The requested key.
        key: u64,
    },
    /// The test was not delivered.
    #[error(transparent)]
    NotDelivered(#[from] NotifyError),
    /// The dispatcher is shutting down.
    #[error("the notifiers are stopping")]
    Stopping,
}

/// The outcome of a test.
pub type TestOutcome = Result<Receipt, OperateError>;
