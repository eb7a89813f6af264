//! Durations as Go writes them: `2h59m55.400826305s`, `-10.050972ms`.

/// The longest duration that is told apart, a hundred years in seconds: CrowdSec bans `100000h` and the like for good.
const LONGEST: f64 = 3_153_600_000.0;

/// The seconds of a duration, rounded up, so that a ban does not end early. None if the text is no duration.
pub(crate) fn seconds(text: &str) -> Option<i64> {
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    let mut rest = unsigned;
    if rest == "0" {
        return Some(0);
    }
    let mut sum = 0.0;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.');
        let (name, next) = behind.split_at(end.unwrap_or(behind.len()));
        // `f64` knows more forms than digits and a point, but these do not get here.
        sum += number.parse::<f64>().ok()? * unit(name)?;
        if next.is_empty() {
            break;
        }
        rest = next;
    }
    #[expect(clippy::cast_possible_truncation, reason = "within a hundred years")]
    let whole = (sign * sum).clamp(-LONGEST, LONGEST).ceil() as i64;
    Some(whole)
}

/// The seconds of a unit. Go has no days; later versions of CrowdSec do.
fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_go() {
        for (text, expected) in [
            ("2h59m55.400826305s", 10_796),
            ("3h", 10_800),
            ("-10.050972ms", 0),
            ("-2.020854336s", -2),
            ("-12h11m38.244975717s", -43_898),
            ("1.301565439s", 2),
            ("0", 0),
            ("0s", 0),
            ("1ns", 1),
            ("1.5us", 1),
            ("1µs", 1),
            ("1μs", 1),
            (".5h", 1_800),
            ("1.h", 3_600),
            ("+1m", 60),
            ("7d", 604_800),
            ("99999h59m58.80156273s", 359_999_999),
            ("999999999999h", 3_153_600_000),
            ("-999999999999h", -3_153_600_000),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for bad in [
            "", "-", "+", "1", "h", "1x", "1h2", "1 h", "1h ", "1..5h", ".h", "--1h", "1e3s",
            "nans", "infs", "1hm", "é", "1é",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
