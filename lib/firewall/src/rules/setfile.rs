//! The format of a set file: that of all lists ([`list_entries`]). What this program writes is one CIDR a line, which
//! Couic 1.0 reads.

use couic_common::{Cidr, CidrError, list_entries, list_networks, quotable};

/// The comment in a file that has no entry on purpose. Without it, such a file is taken for a failed download.
pub(super) const EMPTY_ON_PURPOSE: &str = "# empty on purpose";

/// The most networks of one file, ranges expanded: more than 5 MiB of CIDRs are.
const MOST: usize = 1 << 20;

/// The first line of a set that is not a CIDR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: u64,
    /// The text of the line, if it looks like a mistyped address.
    pub text: Option<String>,
    /// The reason why it is invalid.
    pub problem: CidrError,
}

/// Reads a set. The entries come sorted, each once.
///
/// # Errors
/// The first line that is not a CIDR; then the whole set counts for nothing.
pub fn parse_set(bytes: &[u8]) -> Result<Vec<Cidr>, BadLine> {
    let mut entries = Vec::new();
    for (line, entry) in list_entries(bytes) {
        let bad = |problem| BadLine {
            line,
            text: quotable(entry).map(str::to_owned),
            problem,
        };
        list_networks(entry, |cidr| entries.push(cidr)).map_err(bad)?;
        if entries.len() > MOST {
            return Err(bad(CidrError::TooMany { most: MOST }));
        }
    }
    entries.sort_unstable();
    entries.dedup();
    Ok(entries)
}

/// Whether a file without entries says that this is meant.
pub(super) fn is_empty_on_purpose(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    lines.any(|line| line.eq_ignore_ascii_case(EMPTY_ON_PURPOSE.as_bytes()))
}

/// The form in which sets are written.
pub(super) fn write_set(entries: &[Cidr]) -> String {
    use std::fmt::Write;
    if entries.is_empty() {
        return format!("{EMPTY_ON_PURPOSE}\n");
    }
    entries.iter().fold(
        String::with_capacity(entries.len() * 20),
        |mut text, cidr| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{cidr}");
            text
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blanks_and_line_ends() {
        let text = b"# a list\r\n\r\n10.0.0.1/8 # office\n  2001:db8::/32\r\n10.0.0.0/8\n1.2.3.4;one host\n198.51.100.0/255.255.255.0\n203.0.113.0-203.0.113.2\n::ffff:192.0.2.7";
        let shown: Vec<String> = parse_set(text)
            .unwrap()
            .iter()
            .map(Cidr::to_string)
            .collect();
        let expected = [
            "1.2.3.4/32",
            "10.0.0.0/8",
            "192.0.2.7/32",
            "198.51.100.0/24",
            "203.0.113.0/31",
            "203.0.113.2/32",
            "2001:db8::/32",
        ];
        assert_eq!(shown, expected);
        assert_eq!(parse_set(b""), Ok(vec![]));
        let marked = parse_set(b"\xef\xbb\xbf1.2.3.4/32\r\n").unwrap();
        assert_eq!(marked[0].to_string(), "1.2.3.4/32");
    }

    #[test]
    fn a_bad_line_is_named_and_quoted_only_if_it_looks_like_an_address() {
        for (text, line, shown, problem) in [
            (
                &b"10.0.0.0/8\n1.2.3.04\n"[..],
                2,
                Some("1.2.3.04"),
                CidrError::LeadingZero,
            ),
            (b"\n\nxx/8", 3, None, CidrError::Address),
            (
                b"1.2.3.4/99",
                1,
                Some("1.2.3.4/99"),
                CidrError::Prefix { max: 32 },
            ),
            (b"1.2.3.4/8 5.6.7.8/8", 1, None, CidrError::Words),
            (b"token = \"bbfa1388\"", 1, None, CidrError::Words),
            (
                b"bbfa1388-3218-463c-9722-6805507c14bb",
                1,
                None,
                CidrError::Address,
            ),
            (b"\xff\x00/8", 1, None, CidrError::Address),
            (&[b'x'; 5000], 1, None, CidrError::Address),
        ] {
            let expected = BadLine {
                line,
                text: shown.map(str::to_owned),
                problem,
            };
            assert_eq!(parse_set(text), Err(expected));
        }
    }

    #[test]
    fn ranges_make_no_more_networks_than_a_file_of_cidrs() {
        let range = "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe\n";
        let error = parse_set(range.repeat(5000).as_bytes()).unwrap_err();
        assert_eq!(error.problem, CidrError::TooMany { most: MOST });
        assert_eq!(error.line, 4129);
    }

    #[test]
    fn what_is_written_reads_back() {
        let entries = parse_set(b"2001:db8::/32\n10.0.0.0/8\n").unwrap();
        assert_eq!(parse_set(write_set(&entries).as_bytes()), Ok(entries));
        let none = write_set(&[]);
        assert_eq!(parse_set(none.as_bytes()), Ok(Vec::new()));
        assert!(is_empty_on_purpose(none.as_bytes()));
        assert!(is_empty_on_purpose(
            b"# by cron\r\n # Empty on purpose \r\n"
        ));
        for other in ["", "\n", "# nothing", "# empty"] {
            assert!(!is_empty_on_purpose(other.as_bytes()), "{other:?}");
        }
    }
}
