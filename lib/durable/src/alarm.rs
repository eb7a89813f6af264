//! A failing disk: reported at once, then once a minute, and retried.

use std::time::{Duration, Instant};

/// How often a lasting alarm is logged.
const REMIND: Duration = Duration::from_secs(60);

/// Whether the disk fails, and since when.
#[derive(Debug, Default)]
pub struct Alarm {
    raised: Option<Raised>,
    failures: u64,
}

#[derive(Debug)]
struct Raised {
    why: String,
    since: Instant,
    logged: Instant,
}

impl Alarm {
    /// Counts a failure; `why` is the operation and its error. Returns whether it is time to log it.
    #[must_use]
    pub fn raise(&mut self, why: &str) -> bool {
        self.failures += 1;
        let now = Instant::now();
        let before = self.raised.take();
        let is_due = (before.as_ref()).is_none_or(|b| now.duration_since(b.logged) >= REMIND);
        self.raised = Some(Raised {
            why: why.to_owned(),
            since: before.as_ref().map_or(now, |b| b.since),
            logged: before.filter(|_| !is_due).map_or(now, |b| b.logged),
        });
        is_due
    }

    /// The disk works again. Returns whether the alarm was raised.
    pub fn clear(&mut self) -> bool {
        self.raised.take().is_some()
    }

    /// The failing operation with its error, and for how long.
    #[must_use]
    pub fn raised(&self) -> Option<(&str, Duration)> {
        let raised = self.raised.as_ref()?;
        Some((&raised.why, raised.since.elapsed()))
    }

    /// The number of failures.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.failures
    }
}

/// The backoff of a failed operation.
#[derive(Debug)]
pub struct Pause {
    first: Duration,
    longest: Duration,
    next: Duration,
    until: Option<Instant>,
}

impl Pause {
    /// `first` after the first failure, doubled after each further one up to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
            until: None,
        }
    }

    /// Whether it is time to retry.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() >= until)
    }

    /// When it is over; None without a failure.
    #[must_use]
    pub const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Records the result of an attempt.
    pub fn tried(&mut self, succeeded: bool) {
        if succeeded {
            self.until = None;
            self.next = self.first;
        } else {
            self.until = Some(Instant::now() + self.next);
            self.next = (self.next * 2).min(self.longest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_logged_when_it_begins_and_not_with_every_failure() {
        let mut alarm = Alarm::default();
        assert!(!alarm.clear());
        assert!(alarm.raise("write: full"));
        assert!(!alarm.raise("write: broken"));
        let (why, lasted) = alarm.raised().unwrap();
        assert!(why == "write: broken" && lasted < REMIND);
        assert!(alarm.clear() && alarm.raised().is_none());
        assert!(alarm.raise("write: full"));
        assert_eq!(alarm.failures(), 3);
    }

    #[test]
    fn a_pause_doubles_up_to_the_longest_and_ends_with_a_success() {
        let second = Duration::from_secs(1);
        let mut pause = Pause::new(second, 3 * second);
        assert!(pause.is_over());
        for seconds in [1, 2, 3, 3] {
            let before = Instant::now();
            pause.tried(false);
            let lasts = pause.until().unwrap() - before;
            assert!(!pause.is_over());
            assert!(lasts >= seconds * second && lasts < (seconds + 1) * second);
        }
        pause.tried(true);
        assert!(pause.is_over() && pause.until().is_none());
    }
}
