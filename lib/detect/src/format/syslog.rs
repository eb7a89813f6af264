//! Headers of syslog: RFC 3164 as it is on the wire and in files, with the ISO time of rsyslog too, and RFC 5424.
//!
//! A header is written by the logging program and the syslog daemon, a client's text only follows it. Without a header the
//! whole line is the message, so that lines out of a journal read the same.

use super::{
    clock::{BSD, Clock, iso, month},
    scan::{cut, number},
};

/// A line behind whose header is the message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) time_ms: Option<i64>,
    /// The name without process id; empty if unknown.
    pub(super) program: &'a [u8],
    pub(super) message: &'a [u8],
}

impl<'a> Header<'a> {
    pub(super) const fn none(line: &'a [u8]) -> Self {
        Self {
            time_ms: None,
            program: b"",
            message: line,
        }
    }
}

/// Takes the header off.
pub(super) fn split<'a>(line: &'a [u8], clock: &Clock) -> Header<'a> {
    let body = priority(line);
    let found = match body.strip_prefix(b"1 ").filter(|_| body.len() < line.len()) {
        Some(rest) => rfc5424(rest),
        None => rfc3164(body, clock),
    };
    found.unwrap_or(Header::none(body))
}

/// The line without `<134>`.
fn priority(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"<")
        .and_then(|rest| cut(&rest[..rest.len().min(4)], b'>').map(|(value, _)| (value, rest)))
        .filter(|(value, _)| number(value, 3).is_some())
        .map_or(line, |(value, rest)| &rest[value.len() + 1..])
}

/// `TIME HOST PROGRAM[PID]: MESSAGE`; programs that log to a socket themselves often leave the host out.
fn rfc3164<'a>(line: &'a [u8], clock: &Clock) -> Option<Header<'a>> {
    let (time_ms, rest) = stamp(line, clock)?;
    let (first, behind) = cut(rest, b' ').unwrap_or((rest, b""));
    if let Some(program) = tag(first) {
        return Some(Header {
            time_ms,
            program,
            message: behind.trim_ascii_start(),
        });
    }
    let (second, message) = cut(behind, b' ').unwrap_or((behind, b""));
    let (program, message) = match tag(second) {
        Some(program) => (program, message.trim_ascii_start()),
        None => (&b""[..], behind),
    };
    Some(Header {
        time_ms,
        program,
        message,
    })
}

/// A time of either form, and what follows it.
fn stamp<'a>(line: &'a [u8], clock: &Clock) -> Option<(Option<i64>, &'a [u8])> {
    if month(line.get(..3)?).is_some() {
        let (text, rest) = line.split_at_checked(BSD)?;
        let rest = rest.strip_prefix(b" ")?;
        let shaped = text[3] == b' ' && text[6] == b' ' && text[9] == b':' && text[12] == b':';
        return shaped.then(|| (clock.bsd(text), rest));
    }
    let (text, rest) = cut(line, b' ')?;
    iso(text).map(|time_ms| (Some(time_ms), rest))
}

/// The program of `name:` or `name[pid]:`.
fn tag(word: &[u8]) -> Option<&[u8]> {
    let word = word.strip_suffix(b":")?;
    let name = match word.strip_suffix(b"]") {
        Some(word) => {
            let (name, pid) = cut(word, b'[')?;
            number(pid, 9).map(|_| name)?
        }
        None => word,
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./@()".contains(byte);
    (!name.is_empty() && name.iter().all(is_name)).then_some(name)
}

/// `TIME HOST PROGRAM PID MSGID [DATA] MESSAGE`, behind the version.
fn rfc5424(rest: &[u8]) -> Option<Header<'_>> {
    let mut words = rest.splitn(6, |byte| *byte == b' ');
    let (time, _host, program) = (words.next()?, words.next()?, words.next()?);
    let rest = words.nth(2)?;
    let message = structured(rest)?;
    let message = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message);
    Some(Header {
        time_ms: iso(time),
        program: if program == b"-" { b"" } else { program },
        message,
    })
}

/// What follows the structured data: `-`, or elements in brackets in whose values `"`, `\` and `]` are escaped.
fn structured(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    if let Some(behind) = text.strip_prefix(b"-") {
        rest = behind;
    } else {
        while rest.starts_with(b"[") {
            let (mut quoted, mut escaped) = (false, false);
            let end = rest.iter().position(|byte| {
                let was_escaped = std::mem::take(&mut escaped);
                match byte {
                    b'\\' => escaped = quoted && !was_escaped,
                    b'"' => quoted ^= !was_escaped,
                    _ => {}
                }
                *byte == b']' && !quoted
            })?;
            rest = &rest[end + 1..];
        }
        if rest.len() == text.len() {
            return None;
        }
    }
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix(b" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_796_106_301_000;

    #[track_caller]
    fn check(line: &str, time_ms: Option<i64>, program: &str, message: &str) {
        let mut clock = Clock::new();
        clock.set(NOW, 0);
        let found = split(line.as_bytes(), &clock);
        let expected = Header {
            time_ms,
            program: program.as_bytes(),
            message: message.as_bytes(),
        };
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn headers_of_rfc_3164_are_taken_off() {
        check(
            "Dec  1 06:25:01 h sshd[12]: a: b",
            Some(NOW),
            "sshd",
            "a: b",
        );
        check("<38>Dec  1 06:25:01 sshd[12]: a", Some(NOW), "sshd", "a");
        check(
            "<190>Dec  1 06:25:01 h nginx: ::1 - -",
            Some(NOW),
            "nginx",
            "::1 - -",
        );
        check(
            "2026-12-01T07:25:01.000+01:00 h CRON[1]:  a",
            Some(NOW),
            "CRON",
            "a",
        );
        check(
            "Dec  1 06:25:01 h postfix/smtpd[1]: a",
            Some(NOW),
            "postfix/smtpd",
            "a",
        );
        check(
            "Dec  1 06:25:01 h 2001:db8:: - -",
            Some(NOW),
            "",
            "2001:db8:: - -",
        );
        check("Dec 32 06:25:01 h a: b", None, "a", "b");
        check("Dec  1 06:25:01 h a:", Some(NOW), "a", "");
        check("Dec  1 06:25:01 h", Some(NOW), "", "");
    }

    #[test]
    fn headers_of_rfc_5424_are_taken_off() {
        check(
            "<34>1 2026-12-01T06:25:01Z h su - ID47 - a b",
            Some(NOW),
            "su",
            "a b",
        );
        check(
            "<34>1 2026-12-01T06:25:01Z h su 1 - [a b=\"]\\\"] 6.6.6.6\"][c] \u{feff}m",
            Some(NOW),
            "su",
            "m",
        );
        check("<34>1 - - - - - -", None, "", "");
        check(
            "<34>1 2026-12-01T06:25:01Z h su 1 - [a",
            None,
            "",
            "1 2026-12-01T06:25:01Z h su 1 - [a",
        );
        check(
            "<34>1 2026-12-01T06:25:01Z h su 1 - x y",
            None,
            "",
            "1 2026-12-01T06:25:01Z h su 1 - x y",
        );
    }

    #[test]
    fn a_line_without_header_is_all_message() {
        for line in [
            "",
            "Failed password",
            "Dec",
            "Dec  1 06:25",
            "Decade of lines here: yes",
            "<x>a",
            "<1234>a",
            "<",
            "1 2",
        ] {
            check(line, None, "", line);
        }
        check("<13>message", None, "", "message");
    }
}
