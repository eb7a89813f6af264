//! Limits on a notifier's queue and on its attempts.

use std::time::Duration;

/// What to do with a queue that is over 80 % full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Merge {
    /// Neighbours become one digest with their totals: for people.
    #[default]
    Digest,
    /// Neighbouring batches of reports become one larger batch without loss: for machines.
    Batches,
}

/// Limits of one notifier. `Default` has the documented values.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Queued notifications.
    pub max_events: usize,
    /// Bytes of queued notifications, as JSON.
    pub max_bytes: usize,
    /// Age at which a queued notification becomes a dead letter.
    pub max_age: Duration,
    /// Timeout of an attempt, which is then retried.
    pub timeout: Duration,
    /// The longest time between two attempts, which is random between zero and a limit that doubles up to this.
    pub max_backoff: Duration,
    /// The least time between the starts of two attempts.
    pub pace: Option<Duration>,
    /// Reports in one attempt.
    pub part_reports: usize,
    /// Bytes of reports in one attempt, as JSON. A larger report is delivered alone.
    pub part_bytes: usize,
    /// What to do over 80 %.
    pub merge: Merge,
    /// Whether traffic is delivered: to machines, there is one each minute.
    pub traffic: bool,
    /// Dead letters that are kept. Older ones are dropped first.
    pub max_dead: usize,
    /// Bytes of dead letters that are kept.
    pub max_dead_bytes: usize,
}

impl Policy {
    /// The limits for a plugin of this name: Slack accepts one message per second, and notifications for machines are
    /// merged without loss. Otherwise the defaults.
    #[must_use]
    pub fn of_plugin(name: &str) -> Self {
        let policy = Self::default();
        match name {
            "slack" => Self {
                pace: Some(Duration::from_secs(1)),
                ..policy
            },
            "webhook" => Self {
                merge: Merge::Batches,
                traffic: true,
                ..policy
            },
            _ => policy,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_events: 10_000,
            max_bytes: 64 << 20,
            max_age: Duration::from_secs(24 * 3600),
            timeout: Duration::from_secs(10),
            max_backoff: Duration::from_secs(300),
            pace: None,
            part_reports: 5_000,
            part_bytes: 1 << 20,
            merge: Merge::Digest,
            traffic: false,
            max_dead: 1_000,
            max_dead_bytes: 16 << 20,
        }
    }
}
