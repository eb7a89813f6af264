//! The backoff of a failing link.

use std::time::Duration;

use couic_common::Backoff;

const FIRST: Duration = Duration::from_millis(250);

/// Short, as a peer that is back should hold the same rules within seconds, and an attempt costs one packet.
const MAX: Duration = Duration::from_secs(2);

pub(crate) const fn new() -> Backoff {
    Backoff::new(FIRST, MAX)
}

/// Records a failure. Returns the pause before the next attempt in milliseconds, shortened by up to a half at random, so
/// that many nodes do not retry at once.
pub(crate) fn failed(backoff: &mut Backoff, chance: &mut fastrand::Rng) -> u64 {
    let pause = u64::try_from(backoff.failed().as_millis()).unwrap_or(u64::MAX);
    chance.u64(pause / 2..=pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_have_jitter_of_up_to_a_half() {
        let mut chance = fastrand::Rng::with_seed(1);
        let mut backoff = new();
        let first = failed(&mut backoff, &mut chance);
        assert!((125..=250).contains(&first), "{first}");
        let late: Vec<u64> = (0..100)
            .map(|_| failed(&mut backoff, &mut chance))
            .collect();
        assert!(
            late[3..].iter().all(|p| (1_000..=2_000).contains(p)),
            "{late:?}"
        );
        assert!(late[3..].iter().any(|p| *p != late[3]), "no jitter");
    }
}
