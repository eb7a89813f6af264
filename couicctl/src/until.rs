//! Points in time: the argument of `--until`. A program that bans knows when it did, and for how long.

use crate::duration::{is_forever, lifetime, number};

/// Parses a point in time as Unix seconds, rounded up; 0 = never. `START+LIFETIME` is so long after `START`, in Unix seconds:
/// fail2ban knows when it banned, and for how long.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    if is_forever(text) {
        return Ok(0);
    }
    let (start, rest) = match text.split_once('+') {
        Some((start, rest)) if number(start).is_some() => (start, Some(rest)),
        _ => (text, None),
    };
    let span = match rest.map(lifetime).transpose()? {
        Some(None) => return Ok(0),
        Some(Some(span)) => span.as_secs_f64(),
        None => 0.0,
    };
    let unix = start
        .parse::<f64>()
        .ok()
        .filter(|_| number(start).is_some());
    let unix = unix
        .or_else(|| date(start))
        .map(|start| (start + span).ceil());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and what is too large for a date is refused by the daemon"
    )]
    let whole = |seconds: f64| seconds as u64;
    unix.filter(|seconds| *seconds > 0.0).map(whole).ok_or_else(|| {
        if date(&format!("{start}Z")).is_some() {
            return format!("{text:?} has no time zone: append Z for UTC, or an offset such as +02:00");
        }
        format!("{text:?} is not a time: Unix seconds, a date and time as in 2026-12-24T18:00:00Z, or never")
    })
}

/// The Unix seconds of a date and time of RFC 3339.
fn date(text: &str) -> Option<f64> {
    let zone = text.get(text.len().checked_sub(6)?..)?;
    let (plain, ahead) = match zone.split_at_checked(1)? {
        (sign @ ("+" | "-"), time) if text.contains(['T', 't', ' ']) => {
            let (hours, minutes) = time.split_once(':')?;
            let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
            let seconds = f64::from(hours * 60 + minutes) * 60.0;
            let plain = text.strip_suffix(zone)?;
            let ahead = if sign == "+" { seconds } else { -seconds };
            (plain, Some(ahead).filter(|_| hours < 24 && minutes < 60)?)
        }
        // Without a zone it could be local time, hours away.
        _ if text.ends_with(['Z', 'z']) => (text, 0.0),
        _ => return None,
    };
    let time = humantime::parse_rfc3339_weak(&plain.to_uppercase()).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(since.as_secs_f64() - ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time() {
        for (text, seconds) in [
            ("never", 0),
            ("1795910400", 1_795_910_400),
            ("1795910400.2", 1_795_910_401),
            ("1795910400.2+600", 1_795_911_001),
            ("1795910400+1h30m", 1_795_915_800),
            ("1795910400.9+-1", 0),
            ("1795910400+4733510400", 0),
            ("2026-11-29T00:00:00Z", 1_795_910_400),
            ("2026-11-29t01:00:00.5+01:00", 1_795_910_401),
            ("2026-11-28T22:30:00-01:30", 1_795_910_400),
            ("2026-11-29 00:00:00Z", 1_795_910_400),
        ] {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
        for bad in [
            "",
            "0",
            "-5",
            "1h",
            "soon",
            "2026-11-29",
            "2026-11-29T00:00:00",
            "2026-11-29 00:00:00.5",
            "2026-13-29T00:00:00Z",
            "2026-11-29T00:00:00+1",
            "2026-11-29T00:00:00+99:00",
            "1795910400+",
            "1795910400+0",
            "1795910400+x",
            "1e9",
            "inf",
            "+600",
            "ééé",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let why = parse("2026-11-29T00:00:00").unwrap_err();
        assert!(why.contains("has no time zone: append Z"), "{why}");
    }
}
