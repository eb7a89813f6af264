//! Durations: arguments such as `-e`, and the remaining lifetime of entries.

use std::time::Duration;

use couic_common::{time_left, unix_time};

const UNITS: [(char, u64); 5] = [
    ('w', 604_800),
    ('d', 86_400),
    ('h', 3_600),
    ('m', 60),
    ('s', 1),
];

/// Unix seconds, rounded up, so that an expiration computed from it is never too early.
pub(crate) fn now() -> u64 {
    let since = unix_time();
    since.as_secs() + u64::from(since.subsec_nanos() > 0)
}

/// Parses `30s`, `1m`, `2h`, `7d`, `2w`, and combinations such as `1h30m`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "{text:?} is not a duration: a number with a unit (s, m, h, d, w), as in 30s, 2h or 1h30m"
        )
    };
    let mut total: u64 = 0;
    let mut rest = text;
    let mut allowed = &UNITS[..];
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let unit = rest[digits..].chars().next().ok_or_else(wrong)?;
        let place = allowed.iter().position(|(c, _)| *c == unit);
        let place = place.ok_or_else(wrong)?;
        let count: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        total = count
            .checked_mul(allowed[place].1)
            .and_then(|seconds| total.checked_add(seconds))
            .filter(|total| *total <= MAX)
            .ok_or_else(|| {
                format!("{text:?} is too long: the maximum is 100 years; leave out -e for an entry without expiration")
            })?;
        // Each unit once, largest first: `1m1m` and `30s1h` are typos.
        allowed = &allowed[place + 1..];
        rest = &rest[digits + unit.len_utf8()..];
    }
    if total == 0 {
        return Err(if text.is_empty() {
            wrong()
        } else {
            "the duration must be more than 0".into()
        });
    }
    Ok(Duration::from_secs(total))
}

/// 100 years.
const MAX: u64 = 100 * 365 * 86_400;

/// Time left until `expiration` (Unix seconds, 0 = never), in its two largest units.
pub(crate) fn remaining(expiration: u64, now: u64) -> String {
    if expiration == 0 {
        return "never".into();
    }
    // No weeks there: days are easier to compare.
    time_left(expiration.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, seconds) in [
            ("30s", 30),
            ("1m", 60),
            ("2h", 7_200),
            ("7d", 604_800),
            ("1w", 604_800),
            ("1h30m", 5_400),
            ("1d2h3m4s", 93_784),
            ("0h5s", 5),
            ("36500d", MAX),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn typos_are_rejected() {
        for bad in [
            "",
            "5",
            "s",
            "5x",
            "5 s",
            " 5s",
            "-5s",
            "+5s",
            "1.5h",
            "1m1m",
            "30s1h",
            "5é",
            "0s",
            "36500d1s",
            "99999999999999999999s",
            "9999999999999999w",
            "5ms",
            "never",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn time_left() {
        for (left, text) in [
            (1, "1s"),
            (59, "59s"),
            (60, "1m"),
            (90, "1m 30s"),
            (3_600, "1h"),
            (7_503, "2h 5m"),
            (7_210, "2h"),
            (86_400 * 40 + 3_600 * 5 + 59, "40d 5h"),
        ] {
            assert_eq!(remaining(1_000 + left, 1_000), text);
        }
        assert_eq!(remaining(0, 1_000), "never");
        assert_eq!(remaining(1_000, 1_000), "0s");
        assert_eq!(remaining(1, 1_000), "0s");
    }
}
