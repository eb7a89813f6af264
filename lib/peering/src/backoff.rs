//! How long to leave a peer alone that does not answer.

/// The first pause, in milliseconds.
const FIRST: u64 = 250;

/// The longest pause. Short, since a peer that is back should hold the same rules within seconds; a try costs a packet.
const LONGEST: u64 = 2_000;

/// Pauses that double, each shortened by chance by up to a half, so that many nodes do not come back at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a failure. Returns the pause before the next try, in milliseconds.
    pub fn failed(&mut self, chance: &mut fastrand::Rng) -> u64 {
        let pause = FIRST
            .saturating_mul(1 << self.failures.min(20))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        chance.u64(pause / 2..=pause)
    }

    /// Notes a success.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How often in a row it failed.
    #[must_use]
    pub const fn failures(self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_start_again() {
        let mut chance = fastrand::Rng::with_seed(1);
        let mut backoff = Backoff::default();
        let mut pauses: Vec<u64> = (0..100).map(|_| backoff.failed(&mut chance)).collect();
        assert!((125..=250).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses.iter().all(|p| *p <= LONGEST));
        let late = pauses.split_off(20);
        assert!(late.iter().all(|p| *p >= LONGEST / 2));
        assert!(late.iter().any(|p| *p != late[0]), "no jitter");
        backoff.succeeded();
        assert!(backoff.failed(&mut chance) <= 250);
    }
}
