//! Times as fail2ban writes them: `600`, `10m`, `1h 30m`, `1d12h`, `1week`, `-1`.

/// Whole seconds; `None` where it is none of fail2ban's times. Negative ones stand for ever.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let mut total = 0.0;
    let mut rest = text.trim();
    let mut factor = 1.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        if let Some(after) = rest.strip_prefix(['-', '+']) {
            factor = if rest.starts_with('-') { -1.0 } else { 1.0 };
            rest = after.trim_start();
        }
        let digits = rest.find(|c| !is_number(c)).unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        total += factor * number * unit(&rest[..letters])?;
        rest = rest[letters..].trim_start();
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "out of range saturates, which is for ever"
    )]
    let whole = total.ceil() as i64;
    total.is_finite().then_some(whole)
}

/// The seconds of a unit; a month is a twelfth of a year, of 365.25 days.
fn unit(name: &str) -> Option<f64> {
    const DAY: f64 = 86_400.0;
    Some(match name.to_ascii_lowercase().as_str() {
        "" | "s" | "ss" | "se" | "sec" | "second" | "seconds" => 1.0,
        "m" | "mm" | "mi" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hh" | "ho" | "hou" | "hour" | "hours" => 3_600.0,
        "d" | "dd" | "da" | "day" | "days" => DAY,
        "w" | "ww" | "we" | "wee" | "week" | "weeks" => 7.0 * DAY,
        "mo" | "mon" | "month" | "months" => 365.25 * DAY / 12.0,
        "y" | "yy" | "ye" | "yea" | "year" | "years" => 365.25 * DAY,
        _ => return None,
    })
}

/// Seconds in the largest unit that divides them.
pub(super) fn short(seconds: u64) -> String {
    const UNITS: [(u64, char); 3] = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
    let fits = |(size, _): &&(u64, char)| seconds > 0 && seconds.is_multiple_of(*size);
    let unit = UNITS.iter().find(fits);
    unit.map_or_else(
        || format!("{seconds}s"),
        |(size, unit)| format!("{}{unit}", seconds / size),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_fail2ban_are_seconds() {
        for (text, expected) in [
            ("600", Some(600)),
            ("10m", Some(600)),
            ("1h 30m", Some(5_400)),
            ("1hour+30min", Some(5_400)),
            ("1d12h", Some(129_600)),
            ("6 months", Some(15_778_800)),
            ("1year-6mo", Some(15_778_800)),
            ("1w", Some(604_800)),
            ("0.5d", Some(43_200)),
            ("-1", Some(-1)),
            ("", None),
            ("soon", None),
            ("5x", None),
            ("99999999999999999999999y", Some(i64::MAX)),
        ] {
            assert_eq!(seconds(text), expected, "{text:?}");
        }
    }

    #[test]
    fn seconds_are_written_short() {
        for (seconds, expected) in [
            (0, "0s"),
            (90, "90s"),
            (600, "10m"),
            (172_800, "2d"),
            (5_400, "90m"),
        ] {
            assert_eq!(short(seconds), expected);
        }
    }
}
