//! A confirmation on the disk: a file of JSON lines in `confirm/` below the working directory.
//!
//! It is written before the change is made, and removed when that is confirmed or undone. Lines are appended; of
//! several about one thing the last one counts. A torn last line was never acted upon, and is cut off before the next line
//! is appended.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use couic_common::{ClientName, ConfirmId};
use serde::{Deserialize, Serialize};

use super::change::{Change, ClaimLine, FileChange, SetChange};
use couic_files::{create_file, read_regular, remove_file, replace_file};

/// More bytes than the lines of the heaviest change.
const LARGEST: u64 = 512 << 20;

/// How their names end.
pub(super) const ENDING: &str = "jsonl";

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) id: ConfirmId,
    /// The later a change was made, the higher.
    pub(super) order: u64,
    pub(super) client: ClientName,
    pub(super) summary: String,
    /// Unix seconds.
    pub(super) made: u64,
    /// Seconds.
    pub(super) within: u64,
    /// Unix seconds.
    pub(super) until: u64,
    /// The same in milliseconds, so that a restart takes no time away. 0 in records of 2.0.0-dev before it.
    #[serde(default)]
    pub(super) until_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begun(Head),
    Claim(ClaimLine),
    File(FileChange),
    Set(SetChange),
    /// Unix seconds, in older records.
    Until(u64),
    UntilMs(u64),
}

/// The file of one confirmation.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    /// The length of its complete lines, in bytes; `None` if the file is not written yet.
    length: Option<u64>,
}

impl Record {
    /// One that is not written yet.
    pub(super) fn new(dir: &Path, id: ConfirmId) -> Self {
        Self {
            path: dir.join(format!("{id}.{ENDING}")),
            length: None,
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The system's error, or the line that cannot be read.
    pub(super) fn read(path: &Path) -> io::Result<(Self, Head, Vec<Change>)> {
        let text = read_regular(path, LARGEST)?;
        let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
        // The part after the last line end is empty or torn.
        lines.pop();
        let count = lines.len();
        let (mut head, mut changes, mut length): (Option<Head>, _, _) = (None, Vec::new(), 0);
        for (at, line) in lines.into_iter().enumerate() {
            match serde_json::from_slice(line) {
                Ok(Line::Begun(begun)) => head = Some(begun),
                Ok(Line::Until(until)) => {
                    if let Some(head) = &mut head {
                        (head.until, head.until_ms) = (until, 0);
                    }
                }
                Ok(Line::UntilMs(until)) => {
                    if let Some(head) = &mut head {
                        (head.until, head.until_ms) = (until / 1_000, until);
                    }
                }
                Ok(Line::Claim(claim)) => changes.push(Change::Claim(claim.into())),
                Ok(Line::File(file)) => changes.push(Change::File(file)),
                Ok(Line::Set(set)) => changes.push(Change::Set(set)),
                Err(_) if at + 1 == count && at > 0 => break,
                Err(error) => {
                    return Err(io::Error::other(format!("line {}: {error}", at + 1)));
                }
            }
            length += line.len() as u64 + 1;
        }
        let mut head = head.ok_or_else(|| io::Error::other("the record is empty or incomplete"))?;
        if head.until_ms == 0 {
            head.until_ms = head.until.saturating_mul(1_000);
        }
        let record = Self {
            path: path.to_owned(),
            length: Some(length),
        };
        Ok((record, head, changes))
    }

    /// The first line of a file of which nothing else may be readable.
    pub(super) fn head(path: &Path) -> Option<Head> {
        let text = read_regular(path, LARGEST).ok()?;
        match serde_json::from_slice(text.split(|b| *b == b'\n').next()?) {
            Ok(Line::Begun(head)) => Some(head),
            _ => None,
        }
    }

    /// Whether its file was removed from outside.
    pub(super) fn is_gone(&self) -> bool {
        self.length.is_some() && !self.path.exists()
    }

    /// Adds changes; they are on the disk when this returns.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn add(&mut self, head: &Head, changes: &[Change]) -> io::Result<()> {
        let Some(length) = self.length else {
            let text = whole(head, changes)?;
            create_file(&self.path, 0o600, &text)?;
            self.length = Some(text.len() as u64);
            return Ok(());
        };
        let mut text = Vec::new();
        for change in changes {
            push(&mut text, &line(change.clone()))?;
        }
        self.append(length, &text)
    }

    /// Writes another deadline, Unix milliseconds.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn set_until(&mut self, until_ms: u64) -> io::Result<()> {
        let mut text = Vec::new();
        push(&mut text, &Line::UntilMs(until_ms))?;
        self.append(self.length.unwrap_or_default(), &text)
    }

    /// Appends lines to the first `length` bytes: an earlier append may have failed halfway, on a full disk for example.
    fn append(&mut self, length: u64, text: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        if file.metadata()?.len() != length {
            file.set_len(length)?;
        }
        file.write_all(text)?;
        file.sync_data()?;
        self.length = Some(length + text.len() as u64);
        Ok(())
    }

    /// Writes all of it anew.
    ///
    /// # Errors
    /// The system's error; the file is as it was then.
    pub(super) fn rewrite(&mut self, head: &Head, changes: &[Change]) -> io::Result<()> {
        let text = whole(head, changes)?;
        replace_file(&self.path, 0o600, &text)?;
        self.length = Some(text.len() as u64);
        Ok(())
    }

    /// Removes the file, which may be gone already.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn remove(&self) -> io::Result<()> {
        if self.length.is_none() {
            return Ok(());
        }
        match remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// The content of a file.
fn whole(head: &Head, changes: &[Change]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    push(&mut text, &Line::Begun(head.clone()))?;
    for change in changes {
        push(&mut text, &line(change.clone()))?;
    }
    Ok(text)
}

fn line(change: Change) -> Line {
    match change {
        Change::Claim(claim) => Line::Claim(claim.into()),
        Change::File(file) => Line::File(file),
        Change::Set(set) => Line::Set(set),
    }
}

fn push(text: &mut Vec<u8>, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use couic_common::Policy;

    use super::*;

    fn head() -> Head {
        Head {
            id: ConfirmId::new(7),
            order: 1,
            client: "ops".parse().unwrap(),
            summary: "drop import".to_owned(),
            made: 1,
            within: 60,
            until: 61,
            until_ms: 61_000,
        }
    }

    fn file(name: &str) -> Change {
        Change::File(FileChange {
            policy: Policy::Drop,
            set: name.parse().unwrap(),
            before: None,
            after: Some("192.0.2.0/24\n".to_owned()),
        })
    }

    /// An append that fails halfway leaves part of its lines, here at every length: without a restart, and with one.
    #[test]
    fn after_a_torn_append_the_next_one_is_readable() {
        let (dir, head) = (tempfile::tempdir().unwrap(), head());
        let mut torn = Vec::new();
        push(&mut torn, &line(file("never"))).unwrap();
        for (cut, restart) in (1..torn.len()).flat_map(|cut| [(cut, false), (cut, true)]) {
            let mut record = Record::new(dir.path(), head.id);
            record.add(&head, &[file("first")]).unwrap();
            let mut raw = OpenOptions::new().append(true).open(&record.path).unwrap();
            raw.write_all(&torn[..cut]).unwrap();
            if restart {
                record = Record::read(&record.path).unwrap().0;
            }
            record.add(&head, &[file("second")]).unwrap();
            record.set_until(99_500).unwrap();
            let (_, read, changes) = Record::read(&record.path).unwrap();
            assert_eq!(changes, [file("first"), file("second")], "cut at {cut}");
            assert_eq!((read.until, read.until_ms), (99, 99_500));
            record.remove().unwrap();
        }
    }
}
