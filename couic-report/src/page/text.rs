//! How numbers and times are written.

pub(super) use couic_common::grouped as count;
use couic_common::time_left;
use time::{OffsetDateTime, macros::format_description};

/// A time as people read it, in UTC.
pub(super) fn when(unix: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let time = i64::try_from(unix)
        .ok()
        .and_then(|unix| OffsetDateTime::from_unix_timestamp(unix).ok());
    time.and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| format!("second {unix}"))
}

/// How long ago it was: `5m 3s ago`.
pub(super) fn ago(now: u64, unix: u64) -> String {
    match now.checked_sub(unix) {
        // Clocks differ a little.
        None | Some(0) => "now".to_owned(),
        Some(seconds) => format!("{} ago", time_left(seconds)),
    }
}

/// When a rule ends: `never`, `in 5m 3s`, `ended`.
pub(super) fn ends(now: u64, expiration: Option<u64>) -> String {
    match expiration {
        None | Some(0) => "never".to_owned(),
        Some(end) if end <= now => "ended".to_owned(),
        Some(end) => format!("in {}", time_left(end - now)),
    }
}

/// A rate or an axis label with three digits: `12.3 k`.
pub(super) fn short(number: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    let (scaled, unit) = UNITS
        .into_iter()
        .find(|(size, _)| number >= size * 0.9995)
        .map_or((number, ""), |(size, unit)| (number / size, unit));
    let decimals = match scaled {
        whole if whole.fract() == 0.0 => 0,
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    format!("{scaled:.decimals$}{unit}")
}

/// Bytes in decimal units: `1.50 kB`.
pub(super) fn bytes(number: u64) -> String {
    let text = short(couic_httpd::float(number));
    let unit = if text.contains(' ') { "B" } else { " B" };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(when(1_795_272_620), "2026-11-21 14:50:20");
        assert_eq!(when(u64::MAX), format!("second {}", u64::MAX));
        assert_eq!(ago(100, 37), "1m 3s ago");
        assert_eq!((ago(5, 5), ago(5, 9)), ("now".into(), "now".into()));
        assert_eq!(ends(10, None), "never");
        assert_eq!(ends(10, Some(70)), "in 1m");
        assert_eq!(ends(10, Some(10)), "ended");
    }

    #[test]
    fn numbers() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
        for (number, text) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (12.34, "12.3"),
            (999.0, "999"),
            (1000.0, "1 k"),
            (999_990.0, "1.00 M"),
            (12_345_678.0, "12.3 M"),
        ] {
            assert_eq!(short(number), text);
        }
        assert_eq!(bytes(1500), "1.50 kB");
        assert_eq!(bytes(12), "12 B");
    }
}
