//! Durations: arguments such as `-e`, and the remaining lifetime of entries.

use std::time::Duration;

use couic_client::Client;
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

/// The same by a clock that is so many seconds ahead of ours.
pub(crate) fn now_ahead(seconds: i64) -> u64 {
    now().saturating_add_signed(seconds)
}

/// The same by the daemon's clock, as its last response had it.
pub(crate) fn now_at(client: &Client) -> u64 {
    now_ahead(client.clock_ahead())
}

/// Parses `30s`, `1m`, `2h`, `7d`, `2w`, and combinations such as `1h30m`, up to 100 years.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let seconds = parse_any(text)?;
    let too_long = || format!("{text:?} is too long: the maximum is 100 years");
    seconds.map(Duration::from_secs).ok_or_else(too_long)
}

/// The seconds; `None` = more than 100 years.
fn parse_any(text: &str) -> Result<Option<u64>, String> {
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
        if digits == 0 {
            return Err(wrong());
        }
        // Digits alone: what does not fit is too long, not wrong.
        let count: u64 = rest[..digits].parse().unwrap_or(u64::MAX);
        total = total.saturating_add(count.saturating_mul(allowed[place].1));
        // Each unit once, largest first: `1m1m` and `30s1h` are typos.
        allowed = &allowed[place + 1..];
        rest = &rest[digits + unit.len_utf8()..];
    }
    if total == 0 {
        return Err(if text.is_empty() {
            wrong()
        } else {
            NOTHING.into()
        });
    }
    Ok((total <= MAX).then_some(total))
}

/// The lifetime of an entry: `None` = for ever.
pub(crate) type Lifetime = Option<Duration>;

/// Parses a lifetime as host programs write it: a duration, a number of seconds, also with a fraction; negative numbers
/// (fail2ban's `bantime = -1`), words for it, and more than 100 years mean for ever. Fractions are rounded up.
pub(crate) fn lifetime(text: &str) -> Result<Lifetime, String> {
    if is_forever(text) {
        return Ok(None);
    }
    let is_number = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if let Some(rest) = text.strip_prefix('-').filter(is_number) {
        // Only if it is a duration at all, so that -5x stays a typo.
        return lifetime(rest).map(|_| None);
    }
    let Some((seconds, unit)) = number(text) else {
        return parse_any(text).map(|seconds| seconds.map(Duration::from_secs));
    };
    let seconds = (seconds * f64::from(unit)).ceil();
    if seconds <= 0.0 {
        return Err(NOTHING.into());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and at most 100 years"
    )]
    let whole = |seconds: f64| Duration::from_secs(seconds as u64);
    Ok((seconds <= LONGEST).then(|| whole(seconds)))
}

pub(crate) fn is_forever(text: &str) -> bool {
    FOREVER.iter().any(|word| text.eq_ignore_ascii_case(word))
}

const FOREVER: [&str; 6] = [
    "never",
    "forever",
    "infinite",
    "infinity",
    "permanent",
    "none",
];

const NOTHING: &str = "the duration must be more than 0; never for an entry without expiration";

/// A decimal number, and the seconds of its unit, if that is all.
pub(crate) fn number(text: &str) -> Option<(f64, u32)> {
    let (digits, unit) = match UNITS.iter().find(|(unit, _)| text.ends_with(*unit)) {
        Some((unit, seconds)) => (text.strip_suffix(*unit)?, u32::try_from(*seconds).ok()?),
        None => (text, 1),
    };
    let is_number = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number = digits.parse().ok().filter(|_| is_number)?;
    Some((number, unit))
}

/// 100 years.
const MAX: u64 = 100 * 365 * 86_400;

/// The same.
const LONGEST: f64 = 100.0 * 365.0 * 86_400.0;

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
    fn lifetimes_of_host_programs_are_mapped() {
        let seconds = |n| Ok(Some(Duration::from_secs(n)));
        for (text, lifetime_of) in [
            ("600", seconds(600)),
            ("600s", seconds(600)),
            ("1h30m", seconds(5_400)),
            ("1.5h", seconds(5_400)),
            ("600.2", seconds(601)),
            ("0.1", seconds(1)),
            ("36500d", seconds(MAX)),
            ("-1", Ok(None)),
            ("-1s", Ok(None)),
            ("-1h30m", Ok(None)),
            ("never", Ok(None)),
            ("Infinite", Ok(None)),
            ("permanent", Ok(None)),
            ("54750d", Ok(None)),
            ("4733510400", Ok(None)),
            ("7817w1d", Ok(None)),
            ("99999999999999999999s", Ok(None)),
            ("1w99999999999999999999s", Ok(None)),
        ] {
            assert_eq!(lifetime(text), lifetime_of, "{text}");
        }
        for bad in [
            "", "-", "--1", "0", "0s", "0.0", "-0", "-0s", "x", "5x", "-5x", "1e9", ".", "5..5",
            "nan", "inf", "+5", " 5",
        ] {
            assert!(lifetime(bad).is_err(), "{bad}");
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
