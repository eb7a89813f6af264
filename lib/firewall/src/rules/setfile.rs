//! The format of a set file: one CIDR a line, `#` starts a comment, blank lines are skipped. A byte order mark at the
//! beginning and `\r\n` do no harm: files come from other systems.

use couic_common::{Cidr, CidrError};

/// The first line of a set that is not a CIDR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: u64,
    /// The text of the line, shortened and with control characters escaped.
    pub text: String,
    /// The reason why it is invalid.
    pub problem: CidrError,
}

/// Reads a set. The entries come sorted, each once.
///
/// # Errors
/// The first line that is not a CIDR; then the whole set counts for nothing.
pub fn parse_set(bytes: &[u8]) -> Result<Vec<Cidr>, BadLine> {
    let mut entries = Vec::new();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (line, raw) in (1..).zip(bytes.split(|b| *b == b'\n')) {
        let code = raw
            .split(|b| *b == b'#')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if code.is_empty() {
            continue;
        }
        let parsed = std::str::from_utf8(code)
            .map_err(|_| CidrError::Address)
            .and_then(str::parse);
        match parsed {
            Ok(cidr) => entries.push(cidr),
            Err(problem) => {
                return Err(BadLine {
                    line,
                    text: shown(code),
                    problem,
                });
            }
        }
    }
    entries.sort_unstable();
    entries.dedup();
    Ok(entries)
}

/// The form in which sets are written.
pub(super) fn write_set(entries: &[Cidr]) -> String {
    use std::fmt::Write;
    entries.iter().fold(
        String::with_capacity(entries.len() * 20),
        |mut text, cidr| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{cidr}");
            text
        },
    )
}

fn shown(code: &[u8]) -> String {
    let text = String::from_utf8_lossy(code);
    let mut short: String = text
        .chars()
        .take(60)
        .flat_map(char::escape_default)
        .collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blanks_and_line_ends() {
        let text =
            b"# a list\r\n\r\n10.0.0.1/8 # office\n  2001:db8::/32\r\n10.0.0.0/8\n1.2.3.4/32";
        let shown: Vec<String> = parse_set(text)
            .unwrap()
            .iter()
            .map(Cidr::to_string)
            .collect();
        assert_eq!(shown, ["1.2.3.4/32", "10.0.0.0/8", "2001:db8::/32"]);
        assert_eq!(parse_set(b""), Ok(vec![]));
        let marked = parse_set(b"\xef\xbb\xbf1.2.3.4/32\r\n").unwrap();
        assert_eq!(marked[0].to_string(), "1.2.3.4/32");
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line, shown, problem) in [
            (
                &b"10.0.0.0/8\n1.2.3.4\n"[..],
                2,
                "1.2.3.4",
                CidrError::NoPrefix,
            ),
            (b"\n\nxx/8", 3, "xx/8", CidrError::Address),
            (
                b"1.2.3.4/99",
                1,
                "1.2.3.4/99",
                CidrError::Prefix { max: 32 },
            ),
            (
                b"1.2.3.4/8 5.6.7.8/8",
                1,
                "1.2.3.4/8 5.6.7.8/8",
                CidrError::Prefix { max: 32 },
            ),
            (b"\xff\x00/8", 1, "\\u{fffd}\\u{0}/8", CidrError::Address),
        ] {
            let expected = BadLine {
                line,
                text: shown.to_owned(),
                problem,
            };
            assert_eq!(parse_set(text), Err(expected));
        }
    }

    #[test]
    fn a_long_line_is_shortened() {
        assert_eq!(
            parse_set(&[b'x'; 5000]).unwrap_err().text,
            format!("{}…", "x".repeat(60))
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        let entries = parse_set(b"2001:db8::/32\n10.0.0.0/8\n").unwrap();
        assert_eq!(parse_set(write_set(&entries).as_bytes()), Ok(entries));
    }
}
