//! The format of a set file: that of all lists ([`list_entries`]). What this program writes is one CIDR a line, which
//! Couic 1.0 reads.

use std::io;

use couic_common::{Cidr, CidrError, list_entry, list_networks, quotable, without_mark};

/// The comment in a file that has no entry on purpose. Without it, such a file is taken for a failed download.
pub(super) const EMPTY_ON_PURPOSE: &str = "# empty on purpose";

/// The most networks of one file by itself, ranges expanded: more than 256 MiB of CIDRs are.
const MOST: usize = 1 << 25;

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

/// A set that is read line by line.
#[derive(Debug)]
pub struct SetLines {
    networks: Vec<Cidr>,
    line: u64,
    most: usize,
    is_empty_on_purpose: bool,
}

impl SetLines {
    /// One that has at most so many distinct networks, ranges expanded.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            networks: Vec::new(),
            line: 0,
            most,
            is_empty_on_purpose: false,
        }
    }

    /// Reads the next line, without its end.
    ///
    /// # Errors
    /// [`BadLine`]; then the whole set counts for nothing.
    pub fn read(&mut self, line: &[u8]) -> Result<(), BadLine> {
        self.line += 1;
        let line = if self.line == 1 {
            without_mark(line)
        } else {
            line
        };
        let Some(entry) = list_entry(line) else {
            self.is_empty_on_purpose |= is_empty_on_purpose(line);
            return Ok(());
        };
        let bad = |problem| BadLine {
            line: self.line,
            text: quotable(entry).map(str::to_owned),
            problem,
        };
        let networks = &mut self.networks;
        list_networks(entry, |cidr| networks.push(cidr)).map_err(bad)?;
        // Lists repeat themselves, as several that were put together: duplicates are dropped once they are half of it.
        if networks.len() > self.most.saturating_mul(2) {
            networks.sort_unstable();
            networks.dedup();
            if networks.len() > self.most {
                return Err(bad(CidrError::TooMany { most: self.most }));
            }
        }
        Ok(())
    }

    /// The bytes of memory that it takes.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.networks.capacity() * size_of::<Cidr>()
    }

    /// Whether it has no entry, and no line so far that says so on purpose.
    #[must_use]
    pub const fn is_suspect(&self) -> bool {
        self.networks.is_empty() && !self.is_empty_on_purpose
    }

    /// The entries, sorted, each once.
    #[must_use]
    pub fn finish(mut self) -> Vec<Cidr> {
        self.networks.sort_unstable();
        self.networks.dedup();
        self.networks
    }
}

/// Reads a set. The entries come sorted, each once.
///
/// # Errors
/// The first line that is not a CIDR; then the whole set counts for nothing.
pub fn parse_set(bytes: &[u8]) -> Result<Vec<Cidr>, BadLine> {
    parse_lines(bytes, MOST).map(SetLines::finish)
}

/// The same, as far as it is needed to tell whether it has no entry on purpose, with at most so many networks.
pub(super) fn parse_lines(bytes: &[u8], most: usize) -> Result<SetLines, BadLine> {
    let mut lines = SetLines::new(most);
    for line in bytes.split(|b| *b == b'\n') {
        lines.read(line)?;
    }
    Ok(lines)
}

/// Whether a line says that a file without entries is meant so.
fn is_empty_on_purpose(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.eq_ignore_ascii_case(EMPTY_ON_PURPOSE.as_bytes())
}

/// Writes a set in the form in which files have it.
///
/// # Errors
/// Those of `to`.
pub(super) fn write_entries(entries: &[Cidr], to: &mut impl io::Write) -> io::Result<()> {
    if entries.is_empty() {
        return writeln!(to, "{EMPTY_ON_PURPOSE}");
    }
    entries.iter().try_for_each(|cidr| writeln!(to, "{cidr}"))
}

/// The same as text.
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
        let range = |n: u32| format!("{n:x}::1-{n:x}:ffff:ffff:ffff:ffff:ffff:ffff:fffe\n");
        let text: String = (1..1000).map(range).collect();
        let most = 10_000;
        let error = parse_lines(text.as_bytes(), most).map(drop).unwrap_err();
        assert_eq!(error.problem, CidrError::TooMany { most });
        assert_eq!(error.line, 91, "of 222 networks each");
    }

    #[test]
    fn what_is_written_reads_back() {
        let entries = parse_set(b"2001:db8::/32\n10.0.0.0/8\n").unwrap();
        assert_eq!(parse_set(write_set(&entries).as_bytes()), Ok(entries));
        let none = write_set(&[]);
        assert_eq!(parse_set(none.as_bytes()), Ok(Vec::new()));
        let is_suspect = |text: &str| parse_lines(text.as_bytes(), 9).unwrap().is_suspect();
        assert!(!is_suspect(&none));
        assert!(!is_suspect("# by cron\r\n # Empty on purpose \r\n"));
        assert!(!is_suspect("10.0.0.0/8"));
        for other in ["", "\n", "# nothing", "# empty", "\n# a\n; b\n"] {
            assert!(is_suspect(other), "{other:?}");
        }
    }

    #[test]
    fn a_list_that_repeats_itself_counts_once() {
        let text = "10.0.0.0/8\n11.0.0.0/8\n".repeat(100);
        let read = parse_lines(text.as_bytes(), 2).unwrap().finish();
        assert_eq!(read.len(), 2);
        let mut written = Vec::new();
        write_entries(&read, &mut written).unwrap();
        assert_eq!(written, write_set(&read).as_bytes());
    }
}
