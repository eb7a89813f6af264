//! What operators see of a notifier. A snapshot; the daemon renders it as JSON and as metrics.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use uuid::Uuid;

use couic_common::NotifierBackend;
use couic_plugin_api::{NotifyError, Receipt, Severity};

/// Upper bounds of the buckets of [`AttemptTimes`], in seconds. Beyond the last is one more bucket.
pub const ATTEMPT_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// From so many seconds on, what waits because attempts fail is worth an alarm: a restart of the other side is over.
const LATE_SECS: u64 = 600;

/// What a notifier is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneState {
    /// Nothing waits, or the next attempt is under way.
    #[default]
    Ok,
    /// The last attempt failed; the next one follows by itself.
    Retrying,
    /// The other side asked to be left alone for a while.
    RateLimited,
    /// Does not work as configured (401, 403, 404, 410, bad configuration). The queue is kept until an operator
    /// repairs it: a test that succeeds, `resume`, or a restart.
    Failed,
    /// Drained or stopped.
    Stopped,
}

impl LaneState {
    /// All of them, for a metric per state.
    pub const ALL: [Self; 5] = [
        Self::Ok,
        Self::Retrying,
        Self::RateLimited,
        Self::Failed,
        Self::Stopped,
    ];

    /// The name in JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Retrying => "retrying",
            Self::RateLimited => "rate_limited",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// How long attempts took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AttemptTimes {
    /// Attempts per bucket of [`ATTEMPT_BUCKETS`], not cumulated; the last are those beyond all bounds.
    pub buckets: [u64; ATTEMPT_BUCKETS.len() + 1],
    /// The sum, in seconds.
    pub sum: f64,
    /// How many.
    pub count: u64,
}

impl AttemptTimes {
    pub(super) fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = ATTEMPT_BUCKETS.iter().position(|&bound| seconds <= bound);
        self.buckets[at.unwrap_or(ATTEMPT_BUCKETS.len())] += 1;
        self.sum += seconds;
        self.count += 1;
    }
}

/// The last failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// What happened.
    pub message: String,
    /// When, in Unix seconds.
    pub at: u64,
}

/// Counters since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counters {
    /// Notifications accepted.
    pub enqueued: u64,
    /// Notifications delivered, in however many parts.
    pub delivered: u64,
    /// Attempts, by outcome.
    pub attempts: BTreeMap<&'static str, u64>,
    /// Notifications dropped because the queue was full.
    pub dropped: u64,
    /// Notifications that became part of another one because the queue was nearly full.
    pub merged: u64,
    /// Notifications, or parts of them, that became dead letters.
    pub dead: u64,
    /// Dead letters that had to go for newer ones.
    pub dead_discarded: u64,
    /// Words to notifiers that could not be stored or read. Zero, unless something is broken.
    pub faults: u64,
    /// How long attempts took.
    pub attempt_seconds: AttemptTimes,
}

/// How a notifier's spool is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpoolState {
    /// Bytes on disk.
    pub bytes: u64,
    /// Files on disk.
    pub segments: usize,
    /// Why notifications are kept in memory only, if they are although a spool is configured.
    pub alarm: Option<String>,
}

/// One notifier, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct NotifierStatus {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: LaneState,
    /// The last failure. It stays after later successes.
    pub last_error: Option<LastError>,
    /// When something was last delivered since the start of the process, in Unix seconds.
    pub last_success: Option<u64>,
    /// Seconds until the next attempt, where it waits for a time.
    pub next_attempt_secs: Option<u64>,
    /// Notifications that wait, the one under way included.
    pub queue_events: usize,
    /// Bytes that wait.
    pub queue_bytes: usize,
    /// The age of the oldest that waits, in seconds.
    pub oldest_age_secs: u64,
    /// Dead letters that are kept.
    pub dead_letters: usize,
    /// Counters since the start of the process.
    pub counters: Counters,
    /// How often its process was restarted.
    pub restarts: u64,
    /// How it is run, where that is known.
    pub plugin: Option<NotifierBackend>,
    /// Its spool, where there is one.
    pub spool: Option<SpoolState>,
}

impl NotifierStatus {
    /// What somebody must look at, in one line each, with the notifier's name.
    #[must_use]
    pub fn alarms(&self) -> Vec<String> {
        let named = |problem| format!("notifier {} {problem}", self.name);
        self.problems().into_iter().map(named).collect()
    }

    /// What somebody must look at, each as what follows the notifier's name in a sentence.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let why = self.last_error.as_ref().map_or("", |error| &error.message);
        if self.state == LaneState::Failed {
            problems.push(format!("has failed: {why}"));
        } else if self.state == LaneState::Retrying && self.oldest_age_secs >= LATE_SECS {
            let minutes = self.oldest_age_secs / 60;
            problems.push(format!("has not delivered for {minutes} minutes: {why}"));
        }
        if let Some(why) = self.spool.as_ref().and_then(|spool| spool.alarm.as_ref()) {
            problems.push(format!("keeps notifications in memory only: {why}"));
        }
        problems.extend(self.plugin.as_ref().and_then(|run| run.problem.clone()));
        problems
    }
}

/// A notification that was given up, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Its notifier.
    pub notifier: String,
    /// What to call it for a replay.
    pub key: u64,
    /// The notification's id, where it can be read.
    pub id: Option<Uuid>,
    /// The notification in one line.
    pub text: String,
    /// How bad it was.
    pub severity: Severity,
    /// When it was made, in Unix seconds.
    pub created: u64,
    /// When it was given up, in Unix seconds.
    pub died: u64,
    /// Why.
    pub reason: String,
}

/// Why an operation on a notifier was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// There is none of that name.
    #[error("there is no notifier {name:?}")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// There is no such dead letter.
    #[error("notifier {name:?} has no dead letter {key}")]
    NoSuchLetter {
        /// The notifier.
        name: String,
        /// The key that was asked for.
        key: u64,
    },
    /// The test was not delivered.
    #[error(transparent)]
    NotDelivered(#[from] NotifyError),
    /// It is shutting down.
    #[error("the notifiers are stopping")]
    Stopping,
}

/// How a test ended.
pub type TestOutcome = Result<Receipt, OperateError>;
