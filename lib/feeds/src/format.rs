//! From the bytes of a list to networks.
//!
//! Guarantees: any bytes are survived, in time and memory of their length; what is no list (HTML, binary data, UTF-16, one
//! endless line, broken JSON) is refused as a whole; single entries that cannot be read are counted, and refuse the list
//! when they are more than one in a hundred.

use std::fmt;

use couic_common::{Networks, counted, json_strings, list_entries, list_networks, quotable};

use crate::config::Column;

/// The longest line: an object of a list has some hundred bytes.
const LONGEST_LINE: usize = 64 << 10;

/// The most networks of a list, ranges expanded: more than the daemon has places for by default.
pub(crate) const MOST_NETWORKS: usize = 8_000_000;

/// One entry in so many may be unreadable, and one in any list: the heading of a table.
const UNREADABLE: u64 = 100;

/// How far into a text its kind shows.
const HEAD: usize = 1024;

/// How a list is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A network a line, `#` and `;` begin comments; ranges `a-b`, too.
    Text,
    /// The first two words of a line are the ends of a range, with a dash, a comma or blanks in between.
    Ranges,
    /// A table.
    Csv {
        /// Where the networks stand.
        column: Column,
        /// The character between columns.
        separator: u8,
    },
    /// One JSON document, with the steps to its networks.
    Json(Vec<Vec<String>>),
    /// A JSON document a line.
    Ndjson(Vec<Vec<String>>),
}

/// What a list holds.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// As they stand in the list.
    pub(crate) networks: Networks,
    /// Entries, readable or not.
    pub(crate) entries: u64,
    pub(crate) unreadable: u64,
    /// Where, and why.
    pub(crate) first_unreadable: Option<String>,
    /// Whether the last line ends: else it may be cut off.
    pub(crate) is_terminated: bool,
}

/// Why bytes are no list of this format.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    #[error("it is a web page (HTML), not a list: a login, a block page or an error of the server")]
    Html,
    #[error("it is binary data, or text in another charset than UTF-8")]
    Binary,
    #[error("line {0} is longer than 64 KiB: it is not a list of this format")]
    LongLine(usize),
    #[error("it is not whole JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it has {0} JSON documents: its format is ndjson")]
    Documents(u64),
    #[error("it is not a table: {0}")]
    Csv(#[from] csv::Error),
    #[error("its first line names no column {0:?}")]
    NoColumn(String),
    #[error("it has more than {MOST_NETWORKS} networks")]
    TooMany,
    #[error(
        "{unreadable} of {entries} entries cannot be read, more than one in {UNREADABLE}; {first}"
    )]
    Unreadable {
        unreadable: u64,
        entries: u64,
        first: String,
    },
}

/// Reads a list.
pub(crate) fn parse(bytes: &[u8], format: &Format) -> Result<Parsed, FormatError> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    refuse_other_kinds(text)?;
    let is_document = matches!(format, Format::Json(_));
    if !is_document {
        let mut lines = text.split(|b| *b == b'\n');
        if let Some(at) = lines.position(|line| line.len() > LONGEST_LINE) {
            return Err(FormatError::LongLine(at + 1));
        }
    }
    let mut found = Parsed {
        is_terminated: is_document || text.last().is_none_or(|b| *b == b'\n'),
        ..Parsed::default()
    };
    match format {
        Format::Text => lines(text, &mut found, |entry, found, line| {
            found.add(entry, format_args!("line {line}"));
        }),
        Format::Ranges => lines(text, &mut found, range),
        Format::Csv { column, separator } => table(text, column, *separator, &mut found)?,
        Format::Json(steps) => {
            let documents = json(text, steps, &mut found)?;
            if documents > 1 {
                return Err(FormatError::Documents(documents));
            }
        }
        Format::Ndjson(steps) => {
            json(text, steps, &mut found)?;
        }
    }
    found.judged()
}

fn refuse_other_kinds(text: &[u8]) -> Result<(), FormatError> {
    let head = text.get(..HEAD).unwrap_or(text).to_ascii_lowercase();
    let has = |word: &[u8]| head.windows(word.len()).any(|part| part == word);
    if head.trim_ascii_start().starts_with(b"<") || has(b"<html") || has(b"<!doctype") {
        return Err(FormatError::Html);
    }
    if text.contains(&0) {
        return Err(FormatError::Binary);
    }
    Ok(())
}

fn lines(text: &[u8], found: &mut Parsed, mut each: impl FnMut(&[u8], &mut Parsed, u64)) {
    for (line, entry) in list_entries(text) {
        if found.is_full() {
            break;
        }
        each(entry, found, line);
    }
}

fn range(entry: &[u8], found: &mut Parsed, line: u64) {
    let place = format_args!("line {line}");
    let is_between = |b: &u8| matches!(b, b' ' | b'\t' | b',' | b'-');
    let mut words = entry.split(is_between).filter(|word| !word.is_empty());
    match (words.next(), words.next()) {
        (Some(first), Some(last)) => found.add(&[first, b"-", last].concat(), place),
        _ => found.add(entry, place),
    }
}

fn table(
    text: &[u8],
    column: &Column,
    separator: u8,
    found: &mut Parsed,
) -> Result<(), FormatError> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .comment(Some(b'#'))
        .flexible(true)
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(text);
    let mut record = csv::ByteRecord::new();
    let at = match column {
        Column::Number(number) => number.saturating_sub(1),
        Column::Name(name) => {
            reader.read_byte_record(&mut record)?;
            let at = record.iter().position(|cell| cell == name.as_bytes());
            at.ok_or_else(|| FormatError::NoColumn(name.clone()))?
        }
    };
    while !found.is_full() && reader.read_byte_record(&mut record)? {
        let line = record.position().map_or(0, csv::Position::line);
        found.add(
            record.get(at).unwrap_or_default(),
            format_args!("line {line}"),
        );
    }
    Ok(())
}

fn json(text: &[u8], pointers: &[Vec<String>], found: &mut Parsed) -> Result<u64, FormatError> {
    let documents = json_strings(text, &mut |place, value| {
        if !found.is_full() && pointers.iter().any(|steps| place.matches(steps)) {
            let number = found.entries + 1;
            found.add(value.as_bytes(), format_args!("network number {number}"));
        }
    })?;
    Ok(documents)
}

impl Parsed {
    fn is_full(&self) -> bool {
        self.networks.len() > MOST_NETWORKS
    }

    fn add(&mut self, entry: &[u8], place: fmt::Arguments<'_>) {
        self.entries += 1;
        let Err(problem) = list_networks(entry, |cidr| self.networks.push(cidr)) else {
            return;
        };
        self.unreadable += 1;
        if self.first_unreadable.is_none() {
            // The wrong file may hold secrets.
            let quoted = quotable(entry).map(|text| format!("{text}: "));
            let text = format!("{place}: {}{problem}", quoted.unwrap_or_default());
            self.first_unreadable = Some(text);
        }
    }

    fn judged(self) -> Result<Self, FormatError> {
        if self.is_full() {
            return Err(FormatError::TooMany);
        }
        let most = (self.entries / UNREADABLE).max(1);
        if self.unreadable > most {
            return Err(FormatError::Unreadable {
                unreadable: self.unreadable,
                entries: self.entries,
                first: self.first_unreadable.unwrap_or_default(),
            });
        }
        Ok(self)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Ranges => "ranges",
            Self::Csv { .. } => "csv",
            Self::Json(_) => "json",
            Self::Ndjson(_) => "ndjson",
        })
    }
}

/// A number of networks in words.
pub(crate) fn networks(count: u64) -> String {
    counted(count, "network", "networks")
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
