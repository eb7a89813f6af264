//! A confirmation on the disk: a file of JSON lines in `confirm/` below the working directory.
//!
//! It is written before the change is made, and removed when that is confirmed or undone. Lines are appended; of
//! several about one thing the last one counts. A torn last line was never acted upon.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use couic_common::{ClientName, ConfirmId};
use serde::{Deserialize, Serialize};

use super::change::{Change, ClaimLine, FileChange, SetChange};
use couic_files::{create_file, remove_file, replace_file};

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
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begun(Head),
    Claim(ClaimLine),
    File(FileChange),
    Set(SetChange),
    Until(u64),
}

/// The file of one confirmation.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    exists: bool,
}

impl Record {
    /// One that is not written yet.
    pub(super) fn new(dir: &Path, id: ConfirmId) -> Self {
        Self {
            path: dir.join(format!("{id}.{ENDING}")),
            exists: false,
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The system's error, or the line that cannot be read.
    pub(super) fn read(path: &Path) -> io::Result<(Self, Head, Vec<Change>)> {
        let text = fs::read(path)?;
        let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
        // The part after the last line end is empty or torn.
        lines.pop();
        let count = lines.len();
        let (mut head, mut changes) = (None, Vec::new());
        for (at, line) in lines.into_iter().enumerate() {
            match serde_json::from_slice(line) {
                Ok(Line::Begun(begun)) => head = Some(begun),
                Ok(Line::Until(until)) => {
                    if let Some(head) = &mut head {
                        head.until = until;
                    }
                }
                Ok(Line::Claim(claim)) => changes.push(Change::Claim(claim.into())),
                Ok(Line::File(file)) => changes.push(Change::File(file)),
                Ok(Line::Set(set)) => changes.push(Change::Set(set)),
                Err(_) if at + 1 == count && at > 0 => {}
                Err(error) => {
                    return Err(io::Error::other(format!("line {}: {error}", at + 1)));
                }
            }
        }
        let head = head.ok_or_else(|| io::Error::other("the record is empty or incomplete"))?;
        let record = Self {
            path: path.to_owned(),
            exists: true,
        };
        Ok((record, head, changes))
    }

    /// The first line of a file of which nothing else may be readable.
    pub(super) fn head(path: &Path) -> Option<Head> {
        let text = fs::read(path).ok()?;
        match serde_json::from_slice(text.split(|b| *b == b'\n').next()?) {
            Ok(Line::Begun(head)) => Some(head),
            _ => None,
        }
    }

    /// Whether its file was removed from outside.
    pub(super) fn is_gone(&self) -> bool {
        self.exists && !self.path.exists()
    }

    /// Adds changes; they are on the disk when this returns.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn add(&mut self, head: &Head, changes: &[Change]) -> io::Result<()> {
        let mut text = Vec::new();
        if !self.exists {
            push(&mut text, &Line::Begun(head.clone()))?;
        }
        for change in changes {
            push(&mut text, &line(change.clone()))?;
        }
        if self.exists {
            return self.append(&text);
        }
        create_file(&self.path, 0o600, &text)?;
        self.exists = true;
        Ok(())
    }

    /// Writes another deadline.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn set_until(&self, until: u64) -> io::Result<()> {
        let mut text = Vec::new();
        push(&mut text, &Line::Until(until))?;
        self.append(&text)
    }

    fn append(&self, text: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        file.write_all(text)?;
        file.sync_data()
    }

    /// Writes all of it anew.
    ///
    /// # Errors
    /// The system's error; the file is as it was then.
    pub(super) fn rewrite(&mut self, head: &Head, changes: &[Change]) -> io::Result<()> {
        let mut text = Vec::new();
        push(&mut text, &Line::Begun(head.clone()))?;
        for change in changes {
            push(&mut text, &line(change.clone()))?;
        }
        replace_file(&self.path, 0o600, &text)?;
        self.exists = true;
        Ok(())
    }

    /// Removes the file, which may be gone already.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn remove(&self) -> io::Result<()> {
        if !self.exists {
            return Ok(());
        }
        match remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
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
