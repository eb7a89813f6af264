//! Notifiers: state, queue, dead letters, tests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::NotifierName;

/// The state of a notifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NotifierState {
    /// The queue is empty or being delivered.
    Ok,
    /// The last attempt failed; the next one is scheduled.
    Retrying,
    /// The receiver asked for a pause.
    RateLimited,
    /// It does not work as configured. Its notifications are kept until a test succeeds or it is resumed.
    Failed,
    /// The daemon is shutting down.
    Stopped,
}

impl NotifierState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Ok,
        Self::Retrying,
        Self::RateLimited,
        Self::Failed,
        Self::Stopped,
    ];

    /// The name, as in JSON.
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

/// Where a notifier runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum NotifierMode {
    /// Part of the daemon.
    Builtin,
    /// A plugin file, in the daemon's process.
    Loaded,
    /// A plugin file, in a process of its own.
    Isolated,
}

impl NotifierMode {
    /// The name, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Loaded => "loaded",
            Self::Isolated => "isolated",
        }
    }
}

/// The plugin behind a notifier, and its state. Part of [`NotifierInfo`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifierBackend {
    /// The plugin that implements the notifier.
    pub plugin: String,
    /// Where it runs; `None` if it could not be started.
    pub mode: Option<NotifierMode>,
    /// Restarts of its process.
    pub restarts: u64,
    /// A problem with running it, phrased to follow its name in a sentence.
    pub problem: Option<String>,
}

/// The current state of one notifier. Counters start at zero with the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifierInfo {
    /// Its name in the configuration.
    pub name: NotifierName,
    /// The plugin that implements it.
    pub plugin: String,
    /// Where it runs; null if it could not be started.
    pub mode: Option<NotifierMode>,
    /// Its state.
    pub state: NotifierState,
    /// Problems that need attention, each phrased to follow the name in a sentence. Empty if there are none.
    pub problems: Vec<String>,
    /// The last failure. A later success does not clear it.
    pub last_error: Option<NotifierFailure>,
    /// Time of the last delivery, Unix seconds; null if there was none yet.
    pub last_success: Option<u64>,
    /// Seconds until the next attempt, if one is scheduled.
    pub next_attempt_secs: Option<u64>,
    /// Queued notifications, including the one in flight.
    pub queue_events: u64,
    /// Bytes queued.
    pub queue_bytes: u64,
    /// Age of the oldest queued notification, in seconds.
    pub oldest_age_secs: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// Notifications accepted.
    pub enqueued: u64,
    /// Notifications delivered.
    pub delivered: u64,
    /// Attempts that failed; most are retried.
    pub failed_attempts: u64,
    /// Attempts by outcome, `delivered` among them.
    pub attempts: BTreeMap<String, u64>,
    /// Notifications dropped because the queue was full.
    pub dropped: u64,
    /// Notifications merged into another one because the queue was nearly full.
    pub merged: u64,
    /// Notifications, or parts of them, that became dead letters.
    pub dead: u64,
    /// Restarts of its process.
    pub restarts: u64,
    /// The queue on disk; null without a spool.
    pub spool: Option<NotifierSpool>,
}

/// The last failure of a notifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifierFailure {
    /// A description of the failure. No URLs, no tokens.
    pub message: String,
    /// Time of the failure, Unix seconds.
    pub at: u64,
}

/// A notifier's queue on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifierSpool {
    /// Bytes on disk.
    pub bytes: u64,
    /// Files on disk.
    pub segments: u64,
    /// Why notifications are held in memory only, if they are.
    pub problem: Option<String>,
}

/// Result of the delivery of a sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifierTest {
    /// The notifier.
    pub name: NotifierName,
    /// Whether the receiver accepted it.
    pub delivered: bool,
    /// `delivered`, or the kind of failure: `retry rate_limited too_large permanent bad_config panic cancelled busy
    /// timeout crashed unavailable`.
    pub outcome: String,
    /// The HTTP status of the receiver, if there was one.
    pub http_status: Option<u16>,
    /// The reason, if it was not delivered.
    pub message: Option<String>,
    /// Duration of the attempt in milliseconds, including the wait for an attempt already in flight.
    pub took_ms: u64,
}

/// A notification whose delivery was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetter {
    /// The key for a replay. Newer letters have higher keys.
    pub key: u64,
    /// The id of the notification, if it can be parsed.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub id: Option<Uuid>,
    /// The notification in one line.
    pub text: String,
    /// `green`, `orange` or `red`.
    pub severity: String,
    /// Time of creation, Unix seconds.
    pub created: u64,
    /// Time at which delivery was given up, Unix seconds.
    pub died: u64,
    /// The reason.
    pub reason: String,
}

/// Response to a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Replayed {
    /// Number of dead letters that were queued again.
    pub replayed: u64,
}

/// Response to the removal of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Discarded {
    /// Number of dead letters that were deleted.
    pub discarded: u64,
}
