//! Notifiers, as operators see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::NotifierName;

/// What a notifier is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NotifierState {
    /// Nothing waits, or it is being sent.
    Ok,
    /// The last attempt failed; the next one follows by itself.
    Retrying,
    /// The other side asked to be left alone for a while.
    RateLimited,
    /// It does not work as configured. What is meant for it is kept until a test succeeds, or it is resumed.
    Failed,
    /// The daemon ends.
    Stopped,
}

impl NotifierState {
    /// All of them, for a metric per state.
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

/// How a notifier is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum NotifierMode {
    /// Part of the daemon.
    Builtin,
    /// A plugin's file, in the daemon's process.
    Loaded,
    /// A plugin's file, in a process of its own.
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

/// What delivers for a notifier, and how it does. Part of [`NotifierInfo`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifierBackend {
    /// The plugin that the notifier is made from.
    pub plugin: String,
    /// How it is run; `None` while it could not be started.
    pub mode: Option<NotifierMode>,
    /// How often its process had to be started again.
    pub restarts: u64,
    /// What is wrong with how it is run, as what follows its name in a sentence.
    pub problem: Option<String>,
}

/// One notifier, as it is now. Counters begin with the daemon's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifierInfo {
    /// What the configuration calls it.
    pub name: NotifierName,
    /// The plugin that it is made from.
    pub plugin: String,
    /// How it is run; null where it could not be started.
    pub mode: Option<NotifierMode>,
    /// What it is doing.
    pub state: NotifierState,
    /// What somebody must look at, each as what follows the name in a sentence. Empty where all is well.
    pub problems: Vec<String>,
    /// The last failure. It stays after later successes.
    pub last_error: Option<NotifierFailure>,
    /// When something was last delivered, Unix seconds; null where nothing was yet.
    pub last_success: Option<u64>,
    /// Seconds until the next attempt, where it waits for a time.
    pub next_attempt_secs: Option<u64>,
    /// Notifications that wait, the one under way included.
    pub queue_events: u64,
    /// Bytes that wait.
    pub queue_bytes: u64,
    /// The age of the oldest that waits, in seconds.
    pub oldest_age_secs: u64,
    /// Dead letters that are kept.
    pub dead_letters: u64,
    /// Notifications accepted.
    pub enqueued: u64,
    /// Notifications delivered.
    pub delivered: u64,
    /// Attempts that did not deliver: most are made again.
    pub failed_attempts: u64,
    /// Attempts by outcome, `delivered` among them.
    pub attempts: BTreeMap<String, u64>,
    /// Notifications dropped because the queue was full.
    pub dropped: u64,
    /// Notifications that became part of another one because the queue was nearly full.
    pub merged: u64,
    /// Notifications, or parts of them, that were given up.
    pub dead: u64,
    /// How often its process had to be started again.
    pub restarts: u64,
    /// What waits, on disk; null where nothing is kept there.
    pub spool: Option<NotifierSpool>,
}

/// The last failure of a notifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifierFailure {
    /// What happened. No URLs, no tokens.
    pub message: String,
    /// When, Unix seconds.
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
    /// Why notifications are kept in memory only, if they are.
    pub problem: Option<String>,
}

/// How the delivery of a sample ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifierTest {
    /// The notifier.
    pub name: NotifierName,
    /// Whether the other side took it.
    pub delivered: bool,
    /// `delivered`, or what kind of failure: `retry rate_limited too_large permanent bad_config panic cancelled busy
    /// timeout crashed unavailable`.
    pub outcome: String,
    /// What the other side answered, where it speaks HTTP and did.
    pub http_status: Option<u16>,
    /// What happened, where it was not delivered.
    pub message: Option<String>,
    /// How long the attempt took, in milliseconds, waiting for one that was under way included.
    pub took_ms: u64,
}

/// A notification that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetter {
    /// What to call it for a replay. Rises from older to newer ones.
    pub key: u64,
    /// The notification's id, where it can be read.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub id: Option<Uuid>,
    /// The notification in one line.
    pub text: String,
    /// `green`, `orange` or `red`.
    pub severity: String,
    /// When it was made, Unix seconds.
    pub created: u64,
    /// When it was given up, Unix seconds.
    pub died: u64,
    /// Why.
    pub reason: String,
}

/// Answer to a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Replayed {
    /// How many dead letters wait for delivery again.
    pub replayed: u64,
}

/// Answer to the removal of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Discarded {
    /// How many dead letters were forgotten.
    pub discarded: u64,
}
