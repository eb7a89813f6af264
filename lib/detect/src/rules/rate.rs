//! `10 per 100s`.

use std::time::Duration;

use crate::bucket::Depth;

const MOST_HITS: u32 = 1_000_000;
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// The depth of a rate.
///
/// # Errors
/// What is wrong, for the operator.
pub(crate) fn parse(text: &str) -> Result<Depth, String> {
    const EXPECTED: &str = "expected as in \"10 per 100s\" or \"5 per 5m\"";
    if text.trim().is_empty() {
        return Err(format!(
            "missing: how many hits in which time are too many; {EXPECTED}"
        ));
    }
    let parts = text.split_once(" per ");
    let (hits, time) = parts.ok_or_else(|| format!("{text:?} is no rate: {EXPECTED}"))?;
    let hits: u32 = hits
        .trim()
        .parse()
        .map_err(|_| format!("{:?} is no number of hits: {EXPECTED}", hits.trim()))?;
    if hits == 0 || hits > MOST_HITS {
        return Err(format!(
            "{hits} hits: expected 1 (the first hit bans) to {MOST_HITS}"
        ));
    }
    let time = duration(time.trim())
        .ok_or_else(|| format!("{:?} is no duration: {EXPECTED}", time.trim()))?;
    if time.is_zero() || time > LONGEST {
        return Err("the time of a rate is above 0 and at most 30d".into());
    }
    // Rounded down: a hit may be forgotten a microsecond early, never late.
    let step = i64::try_from(time.as_micros() / u128::from(hits)).unwrap_or(i64::MAX);
    if step == 0 {
        return Err(format!("{text:?} is over a million hits per second"));
    }
    Ok(Depth { step, hits })
}

/// `100s`, `1h 30m`; `m` and `minute` alone are one.
fn duration(text: &str) -> Option<Duration> {
    let one = format!("1{text}");
    let digit = text.starts_with(|c: char| c.is_ascii_digit());
    humantime::parse_duration(if digit { text } else { &one }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let depth = |hits, step| Ok(Depth { hits, step });
        assert_eq!(parse("10 per 100s"), depth(10, 10_000_000));
        assert_eq!(parse("5 per 5m"), depth(5, 60_000_000));
        assert_eq!(parse(" 1 per hour"), depth(1, 3_600_000_000));
        assert_eq!(parse("1000 per 1s"), depth(1_000, 1_000));
    }

    #[test]
    fn what_is_no_rate_is_explained() {
        for (text, part) in [
            ("", "missing"),
            ("ten per 1s", "\"ten\" is no number"),
            ("10/s", "is no rate"),
            ("0 per 1s", "the first hit bans"),
            ("1 per 0s", "above 0"),
            ("1 per 60d", "at most 30d"),
            ("1 per fortnight", "no duration"),
            ("1000000 per 1ms", "a million"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
