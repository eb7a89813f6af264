//! Fast timestamps: a date costs some nanoseconds, and the same second again next to nothing.

/// Formats Unix seconds as `2026-11-21T08:00:00`, in UTC, and caches the last.
#[derive(Debug)]
pub(super) struct Stamp {
    text: [u8; 19],
    second: Option<u64>,
}

impl Default for Stamp {
    fn default() -> Self {
        Self {
            text: *b"0000-00-00T00:00:00",
            second: None,
        }
    }
}

/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799;

impl Stamp {
    /// Times after the year 9999 are shown as its last second.
    pub(super) fn seconds(&mut self, unix: u64) -> &str {
        if self.second != Some(unix) {
            self.second = Some(unix);
            self.render(unix.min(LAST));
        }
        // Always ASCII.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    fn render(&mut self, unix: u64) {
        let (days, second) = (unix / 86_400, unix % 86_400);
        let (year, month, day) = date(days);
        let mut put = |at: usize, digits: usize, mut value: u64| {
            for place in (at..at + digits).rev() {
                self.text[place] = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(0, 4, year);
        put(5, 2, month);
        put(8, 2, day);
        put(11, 2, second / 3600);
        put(14, 2, second / 60 % 60);
        put(17, 2, second % 60);
    }
}

/// Year, month and day from the days since 1970-01-01, in the Gregorian calendar. Internally, years begin in March, so
/// that the leap day is their last: `civil_from_days` by Howard Hinnant,
/// <https://howardhinnant.github.io/date_algorithms.html>.
pub(super) fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::{OffsetDateTime, macros::format_description};

    use super::*;

    fn oracle(unix: u64) -> String {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
        let time = OffsetDateTime::from_unix_timestamp(i64::try_from(unix).unwrap()).unwrap();
        time.format(&format).unwrap()
    }

    proptest! {
        #[test]
        fn agrees_with_the_time_crate(unix in 0..=LAST) {
            let mut stamp = Stamp::default();
            prop_assert_eq!(stamp.seconds(unix), oracle(unix));
            prop_assert_eq!(stamp.seconds(unix), oracle(unix), "the cached one");
            prop_assert_eq!(stamp.seconds(unix / 2), oracle(unix / 2));
        }
    }

    #[test]
    fn the_edges() {
        let mut stamp = Stamp::default();
        for unix in [
            0,
            951_782_399,
            951_782_400,
            951_868_800,
            1_735_689_599,
            LAST,
        ] {
            assert_eq!(stamp.seconds(unix), oracle(unix));
        }
        assert_eq!(stamp.seconds(u64::MAX), "9999-12-31T23:59:59");
    }
}
