//! The pauses between attempts on one head.

use std::time::Duration;

use couic_common::Backoff;

const FIRST: Duration = Duration::from_secs(1);

pub(super) const fn new(max: Duration) -> Backoff {
    Backoff::new(FIRST, max)
}

/// Records a failure. Returns the pause before the next attempt, with full jitter: drawn from zero up to the backoff, so
/// that many senders that failed together do not retry together.
pub(super) fn failed(backoff: &mut Backoff) -> Duration {
    backoff.failed().mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_drawn_from_the_whole_range() {
        let max = Duration::from_secs(300);
        let mut backoff = new(max);
        assert!(failed(&mut backoff) < FIRST);
        for _ in 0..20 {
            backoff.failed();
        }
        let pauses: Vec<_> = (0..1_000).map(|_| failed(&mut backoff)).collect();
        assert!(pauses.iter().all(|pause| *pause < max));
        let mean = pauses.iter().sum::<Duration>() / 1_000;
        assert!((130..170).contains(&mean.as_secs()), "{mean:?}");
    }
}
