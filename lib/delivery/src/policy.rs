//! How much a notifier may pile up, and how hard it is tried.

use std::time::Duration;

/// What to do with a queue that is over 80 % full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Merge {
    /// Neighbours become one digest with their figures: for people.
    #[default]
    Digest,
    /// Neighbouring batches of reports become one larger batch, and nothing is left out: for machines.
    Batches,
}

/// Limits of one notifier. `Default` holds the values of the documentation.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Notifications that may wait.
    pub max_events: usize,
    /// Bytes that may wait, as JSON.
    pub max_bytes: usize,
    /// What waits for longer becomes a dead letter.
    pub max_age: Duration,
    /// An attempt that takes longer is given up, and made again.
    pub timeout: Duration,
    /// The longest time between two attempts. The time is drawn between zero and a limit that doubles up to this.
    pub max_backoff: Duration,
    /// The least time between the starts of two attempts.
    pub pace: Option<Duration>,
    /// Reports in one attempt.
    pub part_reports: usize,
    /// Bytes of reports in one attempt, as JSON. One report that is larger goes alone.
    pub part_bytes: usize,
    /// What happens over 80 %.
    pub merge: Merge,
    /// Dead letters that are kept. Older ones go first.
    pub max_dead: usize,
    /// Bytes of dead letters that are kept.
    pub max_dead_bytes: usize,
}

impl Policy {
    /// The limits that suit a plugin of this name: Slack takes one message a second, and what goes to machines is
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
            max_dead: 1_000,
            max_dead_bytes: 16 << 20,
        }
    }
}
