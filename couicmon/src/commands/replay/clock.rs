//! Log time, which a single line with a wrong date must not move.

/// Lines of one log are in order up to this, in ms.
const NEAR: i64 = 86_400_000;

/// The time of the lines of all files, in Unix ms.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Option<i64>,
    /// A time far from the lines before, until another line confirms it.
    far: Option<i64>,
    /// The earliest time.
    pub(super) first: Option<i64>,
    /// Lines without a time of their own.
    pub(super) undated: u64,
    /// How often time went back by more than a day.
    pub(super) backwards: u64,
}

impl Clock {
    /// The latest time so far.
    pub(super) const fn now(&self) -> Option<i64> {
        self.now
    }

    /// The time of a line; lines without one have that of the line before. None: nothing is known yet.
    pub(super) fn at(&mut self, line: Option<i64>) -> Option<i64> {
        let Some(time) = line else {
            self.undated += 1;
            return self.now;
        };
        let is_near = |now: i64| now.abs_diff(time) < NEAR.unsigned_abs();
        match self.now {
            None => self.set(time),
            Some(now) if is_near(now) => {
                self.far = None;
                self.now = Some(now.max(time));
            }
            Some(now) if self.far.is_some_and(is_near) => {
                self.backwards += u64::from(time < now);
                self.set(time);
            }
            Some(_) => self.far = Some(time),
        }
        self.now
    }

    fn set(&mut self, time: i64) {
        (self.now, self.far) = (Some(time), None);
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_one_wrong_line_does_not_move_it() {
        let mut clock = Clock::default();
        assert_eq!(clock.at(None), None);
        for (line, expected) in [
            (Some(1_000), 1_000),
            (Some(900), 1_000),
            (None, 1_000),
            (Some(100 * NEAR), 1_000),
            (Some(2_000), 2_000),
            (Some(100 * NEAR), 2_000),
            (Some(100 * NEAR + 5), 100 * NEAR + 5),
            (Some(3_000), 100 * NEAR + 5),
            (Some(3_001), 3_001),
        ] {
            assert_eq!(clock.at(line), Some(expected), "{line:?}");
        }
        assert_eq!(
            (clock.first, clock.undated, clock.backwards),
            (Some(1_000), 2, 1)
        );
    }
}
