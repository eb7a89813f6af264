//! CIDRs from the command line, files and standard input. A file with an invalid line is rejected as a whole, before
//! anything is sent.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    str::FromStr,
};

use couic_common::{Cidr, CidrError, counted};

use crate::failure::Failure;

/// Maximum number of invalid lines shown.
const SHOWN: usize = 20;

/// Maximum size, far beyond a full table: a longer input is the wrong file, or endless.
const LONGEST: u64 = 256 << 20;

/// A CIDR as the operator wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) cidr: Cidr,
    /// If it was written with host bits: both forms, to be added to a refusal, which names the network only.
    pub(crate) note: Option<String>,
}

impl FromStr for Network {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let cidr = Cidr::parse_lenient(text)?;
        let note = cidr.masked_from(text);
        Ok(Self { cidr, note })
    }
}

/// Reads one CIDR or bare address per line from `path`, where `-` is standard input. `#` and `;` start comments.
pub(crate) fn read(path: &Path) -> Result<Vec<Network>, Failure> {
    let (name, result) = if path == Path::new("-") {
        ("standard input".to_owned(), whole(io::stdin(), LONGEST))
    } else {
        let opened = File::open(path);
        (
            path.display().to_string(),
            opened.and_then(|file| whole(file, LONGEST)),
        )
    };
    let bytes = result
        .map_err(|e| Failure::Usage(format!("{name} cannot be read: {e}; nothing was changed")))?;
    parse(&name, &String::from_utf8_lossy(&bytes))
}

fn whole(input: impl Read, longest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        let message = format!("it is longer than {} MiB", longest >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

fn parse(name: &str, text: &str) -> Result<Vec<Network>, Failure> {
    let mut cidrs = Vec::new();
    let mut invalid = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()) {
        let word = line.split(['#', ';']).next().unwrap_or_default().trim();
        if word.is_empty() {
            continue;
        }
        match word.parse() {
            Ok(cidr) => cidrs.push(cidr),
            Err(problem) => invalid.push((number, word, problem)),
        }
    }
    if invalid.is_empty() {
        return Ok(cidrs);
    }
    let mut report = format!("{name} is not usable, nothing was changed");
    for (number, word, problem) in invalid.iter().take(SHOWN) {
        let short: String = word.chars().take(60).collect();
        report += &format!("\n  line {number}: {short:?}: {problem}");
    }
    if invalid.len() > SHOWN {
        let more = (invalid.len() - SHOWN) as u64;
        let more = counted(more, "more invalid line", "more invalid lines");
        report += &format!("\n  and {more}");
    }
    Err(Failure::Usage(report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_comments_and_bare_addresses() {
        let text = "\u{feff}# a list\r\n10.1.2.3/8\r\n\n  192.0.2.7 # one host\n2001:db8::1;SBL1\n";
        let cidrs = parse("f", text).unwrap();
        let shown: Vec<String> = cidrs.iter().map(|n| n.cidr.to_string()).collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::1/128"]);
        let notes: Vec<_> = cidrs.iter().map(|n| n.note.as_deref()).collect();
        assert_eq!(
            notes,
            [Some("10.1.2.3/8 is the network 10.0.0.0/8"), None, None]
        );
    }

    #[test]
    fn an_endless_input_is_rejected() {
        let error = whole(io::repeat(0), 1000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(whole(&[b'#'; 1000][..], 1000).unwrap().len(), 1000);
    }

    #[test]
    fn every_invalid_line_is_reported() {
        let Err(Failure::Usage(report)) = parse("f", "10.0.0.0/8\nx/8\n\n10.0.0.0/33\n") else {
            panic!("accepted");
        };
        assert_eq!(
            report,
            "f is not usable, nothing was changed\n  line 2: \"x/8\": not an IPv4 or IPv6 address\n  \
             line 4: \"10.0.0.0/33\": the prefix length must be a number from 0 to 32"
        );
    }

    #[test]
    fn long_error_lists_are_cut() {
        let Err(Failure::Usage(report)) = parse("f", &"<html>\u{1b}[2J\n".repeat(1000)) else {
            panic!("accepted");
        };
        assert_eq!(report.lines().count(), 22);
        assert!(report.ends_with("and 980 more invalid lines"));
        assert!(!report.contains('\u{1b}'));
    }
}
