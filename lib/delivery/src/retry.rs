//! Full jitter: the time to the next attempt is random between zero and a limit that doubles, so that a thousand
//! senders that failed together do not retry together.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);

/// The times between attempts on one head.
#[derive(Debug)]
pub(super) struct Backoff {
    random: fastrand::Rng,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(max: Duration) -> Self {
        Self {
            random: fastrand::Rng::new(),
            max,
            failures: 0,
        }
    }

    /// The wait after a failed attempt.
    pub(super) fn failed(&mut self) -> Duration {
        let limit = self.limit();
        self.failures = self.failures.saturating_add(1);
        limit.mul_f64(self.random.f64())
    }

    fn limit(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        FIRST.saturating_mul(factor).min(self.max)
    }

    /// An attempt succeeded.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_full_and_the_limit_doubles() {
        let max = Duration::from_secs(300);
        for seed in 0..200 {
            let mut backoff = Backoff::new(max);
            backoff.random.seed(seed);
            for n in 0..80 {
                let limit = Duration::from_secs(1 << n.min(9)).min(max);
                assert!(backoff.failed() < limit, "failure {n}");
            }
            backoff.reset();
            assert!(backoff.failed() < FIRST);
        }
    }

    #[test]
    fn the_whole_range_is_used() {
        let mut backoff = Backoff::new(Duration::from_secs(300));
        backoff.random.seed(1);
        backoff.failures = 20;
        let waits: Vec<_> = (0..1_000).map(|_| backoff.failed().as_secs()).collect();
        assert!(waits.iter().any(|&s| s < 10) && waits.iter().any(|&s| s > 290));
        let mean = waits.iter().sum::<u64>() / 1_000;
        assert!((130..170).contains(&mean), "{mean}");
    }
}
