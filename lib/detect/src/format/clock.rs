//! The times that logs carry, as Unix milliseconds.
//!
//! Offsets are honoured. Two kinds of time need help: RFC 3164 has neither year nor offset, HAProxy's has no offset. The
//! caller tells the time of reading and the offset of local time; without the former, RFC 3164 times are unknown.

use super::scan::number;

const DAY_MS: i64 = 86_400_000;
/// A log line may be stamped a little ahead of the reader's clock, but one that is a day ahead is of last year.
const AHEAD_MS: i64 = DAY_MS;

/// The length of `01/Dec/2026:06:25:01 +0100`.
pub(super) const CLF: usize = 26;
/// The length of `Dec  1 06:25:01`.
pub(super) const BSD: usize = 15;

/// Reads times. Keeps the last one in common log format, since many lines are of the same second.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    now_ms: Option<i64>,
    local_offset_s: i32,
    last: [u8; CLF],
    last_ms: Option<i64>,
}

impl Clock {
    pub(super) const fn new() -> Self {
        Self {
            now_ms: None,
            local_offset_s: 0,
            last: [0; CLF],
            last_ms: None,
        }
    }

    pub(super) fn set(&mut self, now_ms: i64, local_offset_s: i32) {
        self.now_ms = Some(now_ms);
        self.local_offset_s = local_offset_s.clamp(-86_400, 86_400);
    }

    /// `01/Dec/2026:06:25:01 +0100`
    pub(super) fn clf(&mut self, text: &[u8]) -> Option<i64> {
        let text: &[u8; CLF] = text.try_into().ok()?;
        if *text != self.last {
            self.last = *text;
            self.last_ms = clf(text);
        }
        self.last_ms
    }

    /// The same, if it is the last one again.
    #[inline]
    pub(super) fn same(&self, text: &[u8; CLF]) -> Option<i64> {
        self.last_ms.filter(|_| *text == self.last)
    }

    /// `09/Dec/2026:12:59:46.633`, in local time.
    pub(super) fn haproxy(&self, text: &[u8]) -> Option<i64> {
        let (seconds, millis) = (text.get(..20)?, text.get(20..)?);
        let millis = i64::from(number(millis.strip_prefix(b".")?, 3)?);
        Some(clf_local(seconds)? + millis - self.local_offset_ms())
    }

    /// `Dec  1 06:25:01`, in local time of the year that brings it closest before now.
    pub(super) fn bsd(&self, text: &[u8]) -> Option<i64> {
        let text: &[u8; BSD] = text.try_into().ok()?;
        if text[3] != b' ' || text[6] != b' ' {
            return None;
        }
        let month = month(&text[..3])?;
        let day = number(text[4..6].trim_ascii_start(), 2)?;
        let of_day = time_of_day(&text[7..15])?;
        let now = self.now_ms? + self.local_offset_ms();
        let this_year = year_of(now.div_euclid(DAY_MS));
        (this_year - 8..=this_year + 1)
            .rev()
            .filter_map(|year| date(year, month, day))
            .map(|days| days * DAY_MS + of_day)
            .find(|time| *time <= now + AHEAD_MS)
            .map(|time| time - self.local_offset_ms())
    }

    /// A time in whatever form JSON logs have it: ISO 8601, common log format, or an epoch.
    pub(super) fn any(&mut self, text: &[u8]) -> Option<i64> {
        match text.get(4) {
            Some(b'-') if text.len() > 10 => iso(text),
            _ if text.len() == CLF => self.clf(text),
            _ => epoch(text),
        }
    }

    fn local_offset_ms(&self) -> i64 {
        i64::from(self.local_offset_s) * 1000
    }
}

fn clf(text: &[u8; CLF]) -> Option<i64> {
    if text[20] != b' ' {
        return None;
    }
    Some(clf_local(&text[..20])? - offset(&text[21..])?)
}

/// `01/Dec/2026:06:25:01`, as if it were UTC.
fn clf_local(text: &[u8]) -> Option<i64> {
    let text: &[u8; 20] = text.try_into().ok()?;
    if text[2] != b'/' || text[6] != b'/' || text[11] != b':' {
        return None;
    }
    let year = i64::from(number(&text[7..11], 4)?);
    let days = date(year, month(&text[3..6])?, number(&text[..2], 2)?)?;
    Some(days * DAY_MS + time_of_day(&text[12..])?)
}

/// `2026-12-01T06:25:01`, with `T` or a space, a fraction with point or comma or none, and `Z`, `+01:00`, `+0100` or none
/// (UTC).
pub(super) fn iso(text: &[u8]) -> Option<i64> {
    let (stamp, rest) = text.split_at_checked(19)?;
    if stamp[4] != b'-' || stamp[7] != b'-' || !matches!(stamp[10], b'T' | b't' | b' ') {
        return None;
    }
    let year = i64::from(number(&stamp[..4], 4)?);
    let days = date(year, number(&stamp[5..7], 2)?, number(&stamp[8..10], 2)?)?;
    let (millis, rest) = match rest {
        [b'.' | b',', fraction @ ..] => {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            (millis(&fraction[..digits]), &fraction[digits..])
        }
        rest => (0, rest),
    };
    let offset = match rest {
        b"" | b"Z" | b"z" => 0,
        rest => offset(rest)?,
    };
    Some(days * DAY_MS + time_of_day(&stamp[11..])? + millis - offset)
}

/// Seconds since 1970 with or without a fraction; whole numbers that are too large for that are milli-, micro- or
/// nanoseconds.
fn epoch(text: &[u8]) -> Option<i64> {
    let point = memchr::memchr(b'.', text).unwrap_or(text.len());
    let (whole, fraction) = text.split_at(point);
    if !(1..=19).contains(&whole.len()) || !whole.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = std::str::from_utf8(whole).ok()?.parse::<i64>().ok()?;
    let millis = match fraction {
        [] | [b'.'] => 0,
        [_, digits @ ..] if digits.iter().all(u8::is_ascii_digit) => millis(digits),
        _ => return None,
    };
    Some(match value {
        0..100_000_000_000 => value * 1000 + millis,
        100_000_000_000..100_000_000_000_000 => value,
        100_000_000_000_000..100_000_000_000_000_000 => value / 1000,
        _ => value / 1_000_000,
    })
}

/// The first three digits of a fraction of a second.
fn millis(digits: &[u8]) -> i64 {
    let digit = |at: usize| digits.get(at).map_or(0, |byte| i64::from(byte - b'0'));
    digit(0) * 100 + digit(1) * 10 + digit(2)
}

/// `+0100` or `+01:00`, in milliseconds east of Greenwich.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match text {
        [sign, hours @ .., b':', m, n] if hours.len() == 2 => (sign, hours, [*m, *n]),
        [sign, hours @ .., m, n] if hours.len() == 2 => (sign, hours, [*m, *n]),
        _ => return None,
    };
    let (hours, minutes) = (number(hours, 2)?, number(&minutes, 2)?);
    if hours > 24 || minutes > 59 {
        return None;
    }
    let offset = i64::from(hours * 60 + minutes) * 60_000;
    match sign {
        b'+' => Some(offset),
        b'-' => Some(-offset),
        _ => None,
    }
}

/// `06:25:01` in milliseconds; a leap second is the next one.
fn time_of_day(text: &[u8]) -> Option<i64> {
    let text: &[u8; 8] = text.try_into().ok()?;
    if text[2] != b':' || text[5] != b':' {
        return None;
    }
    let [hour, minute, second] = [&text[..2], &text[3..5], &text[6..]].map(|part| number(part, 2));
    let (hour, minute, second) = (hour?, minute?, second?);
    (hour < 24 && minute < 60 && second <= 60)
        .then(|| i64::from(hour * 3600 + minute * 60 + second) * 1000)
}

/// 1 to 12 of `Jan` to `Dec`.
pub(super) fn month(text: &[u8]) -> Option<u32> {
    Some(match text {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
}

/// Days since 1970. The algorithm is "days from civil" of Howard Hinnant: years begin in March, so that the leap day is the
/// last one.
fn date(year: i64, month: u32, day: u32) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// The year of a day since 1970.
fn year_of(days: i64) -> i64 {
    let guess = 1970 + days.div_euclid(366);
    (guess..guess + 400)
        .take_while(|year| date(*year, 1, 1).is_some_and(|first| first <= days))
        .last()
        .unwrap_or(guess)
}

#[cfg(test)]
mod tests;
