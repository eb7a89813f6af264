//! Networks from the command line, files and standard input. A file with an invalid line is rejected as a whole, before
//! anything is sent. Lists are text ([`list_entries`]), or JSON with the names of the fields that hold the networks.

mod json;
mod records;

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    str::FromStr,
};

use couic_common::{Cidr, CidrError, counted, list_entries, list_networks, quotable};

use crate::failure::Failure;

pub(crate) use records::{Record, given};

/// Maximum number of invalid lines shown.
const SHOWN: usize = 20;

/// Maximum size, far beyond a full table: a longer input is the wrong file, or endless.
const LONGEST: u64 = 256 << 20;

/// Maximum number of networks, ranges expanded: more than a file of that size has.
const MOST: usize = 32 << 20;

/// A CIDR as the operator wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) cidr: Cidr,
    /// If it was written with host bits: both forms, to be added to a refusal, which names the network only.
    pub(crate) note: Option<String>,
}

impl Network {
    fn new(cidr: Cidr, text: &str) -> Self {
        let note = cidr.masked_from(text).filter(|_| !text.contains('-'));
        Self { cidr, note }
    }
}

impl FromStr for Network {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        Ok(Self::new(Cidr::parse_lenient(text)?, text))
    }
}

/// One argument: a network, or the networks of a range.
#[derive(Clone, Debug)]
pub(crate) struct Networks(pub(crate) Vec<Network>);

impl FromStr for Networks {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let mut all = Vec::new();
        Cidr::parse_each(text, |cidr| all.push(Network::new(cidr, text)))?;
        Ok(Self(all))
    }
}

/// Reads a list from `path`, where `-` is standard input: text, or JSON if `fields` names those that hold networks. An
/// empty list is an error, as it indicates a failed download.
pub(crate) fn read(path: &Path, fields: &[String]) -> Result<Vec<Network>, Failure> {
    let (name, bytes) = load(path)?;
    networks(&name, &bytes, fields)
}

/// The same for a list that a file names, as text: a regular file, since a pipe that nothing writes to would hold up everything.
pub(crate) fn read_named(path: &Path) -> Result<Vec<Network>, Failure> {
    let name = path.display().to_string();
    let bytes = open_regular(path).and_then(|file| whole(file, LONGEST));
    networks(
        &name,
        &bytes.map_err(|error| unreadable(&name, &error))?,
        &[],
    )
}

fn open_regular(path: &Path) -> io::Result<File> {
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let message = "it is no regular file";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::Usage(format!(
        "{name} cannot be read: {error}; nothing was changed"
    ))
}

/// The same as [`read`], with the labels of the entries if these are what `export` or `list --json` prints.
pub(crate) fn read_records(path: &Path, fields: &[String]) -> Result<Vec<Record>, Failure> {
    let (name, bytes) = load(path)?;
    if fields.is_empty() && records::are(&bytes) {
        return records::parse(&name, &bytes);
    }
    let networks = networks(&name, &bytes, fields)?;
    Ok(networks.into_iter().map(Record::from).collect())
}

/// The name of an input for messages, and all of it.
pub(crate) fn load(path: &Path) -> Result<(String, Vec<u8>), Failure> {
    let (name, result) = if path == Path::new("-") {
        ("standard input".to_owned(), whole(io::stdin(), LONGEST))
    } else {
        let opened = File::open(path);
        (
            path.display().to_string(),
            opened.and_then(|file| whole(file, LONGEST)),
        )
    };
    let bytes = result.map_err(|error| unreadable(&name, &error))?;
    Ok((name, bytes))
}

fn networks(name: &str, bytes: &[u8], fields: &[String]) -> Result<Vec<Network>, Failure> {
    let found = if fields.is_empty() {
        parse(name, bytes)?
    } else {
        json::parse(name, bytes, fields)?
    };
    if found.is_empty() {
        let text = format!("{name} contains no CIDR, nothing was changed");
        return Err(Failure::Usage(text));
    }
    Ok(found)
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

fn parse(name: &str, bytes: &[u8]) -> Result<Vec<Network>, Failure> {
    let mut found = Found::default();
    for (line, entry) in list_entries(bytes) {
        // A list may be the wrong file, with secrets in it.
        found.add(format_args!("line {line}"), entry, quotable(entry));
    }
    if !found.invalid.is_empty()
        && let Some(advice) = json::advice(bytes)
    {
        return Err(Failure::Usage(format!(
            "{name} is JSON, nothing was changed\nhint: {advice}"
        )));
    }
    found.all(name)
}

/// The networks of a list, and the entries that are none.
#[derive(Default)]
struct Found {
    networks: Vec<Network>,
    invalid: Vec<String>,
    unlisted: u64,
}

impl Found {
    /// Adds an entry that stands at `place`. If it is invalid, `quoted` is shown of it.
    fn add(&mut self, place: std::fmt::Arguments<'_>, entry: &[u8], quoted: Option<&str>) {
        let text = String::from_utf8_lossy(entry);
        let networks = &mut self.networks;
        let read = list_networks(entry, |cidr| networks.push(Network::new(cidr, &text)));
        let read = match read {
            Ok(()) if networks.len() > MOST => Err(CidrError::TooMany { most: MOST }),
            other => other,
        };
        let Err(problem) = read else { return };
        if self.invalid.len() == SHOWN {
            self.unlisted += 1;
            return;
        }
        let quoted = quoted.map_or(String::new(), |text| {
            let short: String = text.chars().take(60).collect();
            format!("{short:?}: ")
        });
        self.invalid.push(format!("{place}: {quoted}{problem}"));
    }

    /// All of it, if every entry is valid.
    fn all(self, name: &str) -> Result<Vec<Network>, Failure> {
        if self.invalid.is_empty() {
            return Ok(self.networks);
        }
        let mut report = format!("{name} is not usable, nothing was changed");
        for entry in &self.invalid {
            report += &format!("\n  {entry}");
        }
        if self.unlisted > 0 {
            let more = counted(self.unlisted, "more invalid entry", "more invalid entries");
            report += &format!("\n  and {more}");
        }
        Err(Failure::Usage(report))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_comments_and_bare_addresses() {
        let text = "\u{feff}# a list\r\n10.1.2.3/8\r\n\n  192.0.2.7 # one host\n2001:db8::1;SBL1\n\
            198.51.100.7/255.255.255.0\n203.0.113.1-203.0.113.2\n";
        let cidrs = parse("f", text.as_bytes()).unwrap();
        let shown: Vec<String> = cidrs.iter().map(|n| n.cidr.to_string()).collect();
        let expected = [
            "10.0.0.0/8",
            "192.0.2.7/32",
            "2001:db8::1/128",
            "198.51.100.0/24",
            "203.0.113.1/32",
            "203.0.113.2/32",
        ];
        assert_eq!(shown, expected);
        let notes: Vec<_> = cidrs.iter().map(|n| n.note.as_deref()).collect();
        assert_eq!(
            notes,
            [
                Some("10.1.2.3/8 is the network 10.0.0.0/8"),
                None,
                None,
                Some("198.51.100.7/255.255.255.0 is the network 198.51.100.0/24"),
                None,
                None
            ]
        );
    }

    #[test]
    fn an_endless_input_is_rejected() {
        let error = whole(io::repeat(0), 1000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(whole(&[b'#'; 1000][..], 1000).unwrap().len(), 1000);
    }

    #[test]
    fn a_list_that_a_file_names_is_a_regular_file() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [pipe.as_path(), Path::new("/dev/zero"), dir.path()] {
            let Err(Failure::Usage(report)) = read_named(path) else {
                panic!("accepted");
            };
            assert!(report.contains("it is no regular file"), "{report}");
        }
        let list = dir.path().join("list");
        std::fs::write(&list, "192.0.2.1\n").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&list, &link).unwrap();
        assert_eq!(read_named(&link).unwrap().len(), 1);
    }

    #[test]
    fn every_invalid_line_is_reported() {
        let Err(Failure::Usage(report)) = parse("f", b"10.0.0.0/8\nPASSWORD=x\n\n10.0.0.0/33\n")
        else {
            panic!("accepted");
        };
        assert_eq!(
            report,
            "f is not usable, nothing was changed\n  line 2: not an IPv4 or IPv6 address\n  \
             line 4: \"10.0.0.0/33\": the prefix length must be a number from 0 to 32"
        );
    }

    #[test]
    fn long_error_lists_are_cut() {
        let Err(Failure::Usage(report)) = parse("f", "<html>\u{1b}[2J\n".repeat(1000).as_bytes())
        else {
            panic!("accepted");
        };
        assert_eq!(report.lines().count(), 22);
        assert!(report.ends_with("and 980 more invalid entries"));
        assert!(!report.contains('\u{1b}'));
    }
}
