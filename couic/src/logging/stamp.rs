//! Timestamps in UTC. Formatting costs some 100 ns; the same second again costs next to nothing.

use time::{
    OffsetDateTime, format_description::StaticFormatDescription, macros::format_description,
};

const FORMAT: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");

/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799;

/// Formats Unix seconds as `2026-11-21T08:00:00`, and caches the last.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    text: String,
    second: Option<u64>,
}

impl Stamp {
    pub(super) fn seconds(&mut self, unix: u64) -> &str {
        if self.second != Some(unix) {
            self.second = Some(unix);
            self.text = utc(unix).format(FORMAT).unwrap_or_default();
        }
        &self.text
    }
}

/// Times after the year 9999 become its last second.
pub(super) fn utc(unix: u64) -> OffsetDateTime {
    let seconds = i64::try_from(unix.min(LAST)).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_formatted_and_cached() {
        let mut stamp = Stamp::default();
        for (unix, expected) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_735_689_599, "2024-12-31T23:59:59"),
            (LAST, "9999-12-31T23:59:59"),
            (u64::MAX, "9999-12-31T23:59:59"),
        ] {
            assert_eq!(stamp.seconds(unix), expected);
        }
    }
}
