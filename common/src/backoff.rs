//! Exponential backoff.

use std::time::Duration;

/// Pauses between attempts: doubled after each failure in a row, up to a maximum. Without jitter, which differs between
/// callers: many clients of one server draw the actual pause from zero, or from half of the pause, up to the pause.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts with the pause `first`; no pause exceeds `max`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            failures: 0,
        }
    }

    /// Records a failure and returns the pause before the next attempt.
    pub fn failed(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// Records a success: the next failure starts over.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Number of failures in a row.
    #[must_use]
    pub const fn failures(self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));
        let pauses: Vec<u128> = (0..6).map(|_| backoff.failed().as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 2_000, 2_000]);
        for _ in 0..100 {
            assert_eq!(backoff.failed(), Duration::from_secs(2));
        }
        assert_eq!(backoff.failures(), 106);
        backoff.succeeded();
        assert_eq!(backoff.failed(), Duration::from_millis(250));
    }
}
