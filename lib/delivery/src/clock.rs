//! Unix time that runs with tokio's clock: tests can move it, and a step of the wall clock cannot expire a queue.

use std::time::Duration;

use couic_common::unix_time;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
    start_unix: Duration,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            start_unix: unix_time(),
        }
    }

    fn unix(&self) -> Duration {
        self.start_unix + self.start.elapsed()
    }

    pub(super) fn unix_secs(&self) -> u64 {
        self.unix().as_secs()
    }

    /// This moment in Unix milliseconds.
    pub(super) fn to_unix_millis(self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.start);
        u64::try_from((self.start_unix + since).as_millis()).unwrap_or(u64::MAX)
    }

    /// The moment of these Unix milliseconds, if it is in the future.
    pub(super) fn future(&self, unix_millis: u64) -> Option<Instant> {
        let left = Duration::from_millis(unix_millis).checked_sub(self.unix())?;
        Instant::now().checked_add(left)
    }
}
