//! Time that never goes back, whatever the machine's clock or a log does.
//!
//! If time stood still until a clock that was set back has caught up, nothing would leak out of the buckets, and honest
//! sources were banned; if it went back, bans would never end or be told twice. So a step back by more than the slack
//! shifts the scale: time goes on from where it was. Smaller steps are disorder (threads, lines of a log): such a line
//! counts as of the latest time seen.

/// Far beyond any date in a log, and far from an overflow in microseconds.
const MAX_MS: i64 = 1 << 48;

/// Milliseconds of the outside to microseconds inside, which never decrease.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    last_ms: i64,
    shift_ms: i64,
    slack_ms: i64,
}

impl Clock {
    /// Steps back up to the slack are disorder, beyond it the clock was set.
    pub(crate) fn new(slack_ms: i64) -> Self {
        Self {
            last_ms: 1,
            shift_ms: 0,
            slack_ms,
        }
    }

    /// The time inside, in microseconds.
    #[inline]
    pub(crate) fn tick(&mut self, now_ms: i64) -> i64 {
        let at = now_ms.clamp(0, MAX_MS).saturating_add(self.shift_ms);
        if at.saturating_add(self.slack_ms) < self.last_ms {
            self.shift_ms = self
                .shift_ms
                .saturating_add(self.last_ms - at)
                .min(MAX_MS * 8);
        }
        self.last_ms = self.last_ms.max(at).min(MAX_MS * 8);
        self.now()
    }

    /// The latest time, in microseconds.
    pub(crate) fn now(&self) -> i64 {
        self.last_ms * 1_000
    }

    /// A time inside (microseconds) as time of the outside (milliseconds).
    pub(crate) fn outside(&self, inside: i64) -> i64 {
        inside / 1_000 - self.shift_ms
    }

    /// A time of the outside (milliseconds) as time inside (microseconds).
    pub(crate) fn inside(&self, outside_ms: i64) -> i64 {
        outside_ms
            .clamp(0, MAX_MS)
            .saturating_add(self.shift_ms)
            .saturating_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_clock_that_is_set_back_goes_on_at_its_pace() {
        let mut clock = Clock::new(1_000);
        let start = clock.tick(10_000_000);
        assert_eq!(clock.tick(10_000_500) - start, 500_000);
        assert_eq!(clock.tick(10_000_000) - start, 500_000, "disorder");
        let set_back = clock.tick(6_400_000);
        assert_eq!(set_back - start, 500_000);
        assert_eq!(clock.tick(6_401_000) - set_back, 1_000_000);
        let inside = clock.now();
        assert_eq!(clock.outside(inside), 6_401_000);
        assert_eq!(clock.inside(6_401_000), inside);
    }

    proptest! {
        #[test]
        fn time_never_decreases(times in prop::collection::vec(any::<i64>(), 1..50)) {
            let mut clock = Clock::new(1_000);
            let mut last = 0;
            for time in times {
                let now = clock.tick(time);
                prop_assert!(now >= last && now > 0);
                last = now;
            }
        }
    }
}
