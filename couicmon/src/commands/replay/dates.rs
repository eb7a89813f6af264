//! The time at the start of a line in a format without fields.

use couic_detect::Format;

use crate::local_time;

/// The length of `2026-12-01 01:00:00`.
const STAMP: usize = 19;

/// In Unix ms: an ISO 8601 time, else what `syslog` finds.
pub(super) fn time_ms(syslog: &mut Format, line: &[u8]) -> Option<i64> {
    iso(line).or_else(|| syslog.parse(line).ok()?.time_ms)
}

/// `2026-12-01 01:00:00`, also with `T`, slashes, a bracket in front, a fraction behind point or comma, and an offset;
/// without one it is local time.
fn iso(line: &[u8]) -> Option<i64> {
    let line = line.strip_prefix(b"[").unwrap_or(line);
    let (stamp, rest) = line.split_at_checked(STAMP)?;
    let stamp = std::str::from_utf8(stamp).ok()?.replace('/', "-");
    let time = humantime::parse_rfc3339_weak(&stamp).ok()?;
    let time = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    let mut ms = i64::try_from(time.as_millis()).ok()?;
    let mut rest = rest;
    if let [b'.' | b',', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        for (digit, worth) in fraction[..digits].iter().zip([100, 10, 1]) {
            ms += i64::from(digit - b'0') * worth;
        }
        rest = &fraction[digits..];
    }
    let east = offset_s(rest).unwrap_or_else(|| local_time::offset_s(ms / 1_000).into());
    Some(ms - east * 1_000)
}

/// `Z`, `+01:00` or `+0100`, perhaps behind a space, in seconds.
fn offset_s(text: &[u8]) -> Option<i64> {
    if let [b'Z' | b'z', ..] = text {
        return Some(0);
    }
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, digits) = match text {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, rest) = digits.split_at_checked(2)?;
    let minutes = rest.strip_prefix(b":").unwrap_or(rest).get(..2)?;
    let number = |two: &[u8]| {
        let fine = two.iter().all(u8::is_ascii_digit);
        let value = std::str::from_utf8(two).ok()?.parse::<i64>().ok();
        value.filter(|_| fine)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 24 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_times_are_read_with_and_without_fraction_and_offset() {
        const AT: i64 = 1_796_086_800_000; // 2026-12-01 01:00:00 UTC
        let local = AT - i64::from(local_time::offset_s(AT / 1_000)) * 1_000;
        for (line, expected) in [
            ("2026-12-01 01:00:00 myapp: x", Some(local)),
            ("2026-12-01T01:00:00 myapp: x", Some(local)),
            ("2026-12-01 01:00:00,123 - x", Some(local + 123)),
            ("2026/12/01 01:00:00 [error] x", Some(local)),
            ("[2026-12-01 01:00:00.5] x", Some(local + 500)),
            ("2026-12-01T01:00:00Z x", Some(AT)),
            ("2026-12-01T01:00:00.123456Z x", Some(AT + 123)),
            ("2026-12-01T02:00:00+01:00 x", Some(AT)),
            ("2026-12-01 00:30:00.250 -0030 x", Some(AT + 250)),
            ("2026-12-01 01:00:00 -x", Some(local)),
            ("2026-13-01 01:00:00 x", None),
            ("2026-12-01", None),
            ("\u{fc}026-12-01 01:00:00 x", None),
        ] {
            assert_eq!(iso(line.as_bytes()), expected, "{line}");
        }
    }
}
