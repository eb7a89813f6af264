//! The clock of the core, which tests can set.

use std::sync::atomic::{AtomicU64, Ordering};

use couic_common::{unix_seconds, unix_time};

/// A source of wall-clock time. Expirations are wall-clock times, so a clock that jumps moves them too: no timer is
/// ever set to an interval.
pub trait Clock: Send + Sync {
    /// Unix seconds.
    fn now(&self) -> u64;

    /// Unix milliseconds.
    fn now_ms(&self) -> u64 {
        self.now().saturating_mul(1_000)
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        unix_seconds()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `now`, Unix seconds.
    #[must_use]
    pub const fn new(now: u64) -> Self {
        Self(AtomicU64::new(now))
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }

    /// Moves the clock forwards.
    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
