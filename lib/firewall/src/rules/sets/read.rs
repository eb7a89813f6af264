//! Reading set files. A file is opened beneath the folder of its policy, so that no link makes the daemon read, and quote,
//! another file.

use std::{
    ffi::OsStr,
    fs,
    io::{self, ErrorKind},
};

use couic_common::{Cidr, Policy, SetName, SetProblem, SetSummary, counted};
use couic_files::{open_beneath, read_bounded, shown_name};

use super::{MAX_SET_FILE, SetStore, check_size, file_name};
use crate::rules::{
    set_error::SetError,
    setfile::{BadLine, SetLines, parse_lines},
};

/// How many files that are not read are named.
const NAMED: usize = 50;

impl SetStore {
    /// The sets of a policy, by name. A bad file counts no entries.
    ///
    /// # Errors
    /// [`SetError::Io`].
    pub fn list(&self, policy: Policy) -> Result<Vec<SetSummary>, SetError> {
        let summary = |name: SetName| {
            let bytes = self.bytes(policy, &name).unwrap_or_default();
            let lines = parse_lines(&bytes, self.most(policy));
            let entries = lines.map(SetLines::finish).unwrap_or_default();
            SetSummary {
                name,
                entry_count: entries.len() as u64,
                file_size: bytes.len() as u64,
            }
        };
        Ok(self.names(policy)?.into_iter().map(summary).collect())
    }

    /// The entries of a set, sorted, each once.
    ///
    /// # Errors
    /// `NotFound`, `BadLine`, `TooLarge`, `Unreadable`.
    pub fn read(&self, policy: Policy, name: &SetName) -> Result<Vec<Cidr>, SetError> {
        let bytes = self.bytes(policy, name)?;
        self.parse(policy, name, &bytes).map(SetLines::finish)
    }

    pub(in crate::rules) fn parse(
        &self,
        policy: Policy,
        name: &SetName,
        bytes: &[u8],
    ) -> Result<SetLines, SetError> {
        let bad = |bad: BadLine| SetError::BadLine {
            policy,
            file: file_name(name),
            line: bad.line,
            text: bad.text,
            problem: bad.problem,
        };
        parse_lines(bytes, self.most(policy)).map_err(bad)
    }

    /// The content of a set's file.
    ///
    /// # Errors
    /// `NotFound`, `TooLarge`, `Unreadable`.
    pub(in crate::rules) fn bytes(
        &self,
        policy: Policy,
        name: &SetName,
    ) -> Result<Vec<u8>, SetError> {
        let file = file_name(name);
        let unreadable = |source| SetError::Unreadable {
            policy,
            file: file_name(name),
            source,
        };
        let opened = match open_beneath(&self.folder(policy), &file) {
            // A dangling symbolic link exists, and is a mistake of its maker.
            Err(error)
                if error.kind() == ErrorKind::NotFound && !self.path(policy, name).is_symlink() =>
            {
                return Err(SetError::NotFound {
                    policy,
                    name: name.clone(),
                });
            }
            other => other.map_err(unreadable)?,
        };
        check_size(policy, name, opened.metadata().map_err(unreadable)?.len())?;
        read_bounded(opened, MAX_SET_FILE).map_err(unreadable)
    }

    /// The names of a policy's files, sorted: those that are called `NAME.couic`.
    pub(in crate::rules) fn names(&self, policy: Policy) -> Result<Vec<SetName>, SetError> {
        let mut names = Vec::new();
        self.each_file(policy, |file| names.extend(set_of(file)))?;
        names.sort_unstable();
        Ok(names)
    }

    /// The files beside the sets that no reload reads, although they look as if they were meant to be read: a list must
    /// not be passed over in silence.
    #[must_use]
    pub fn skipped(&self) -> Vec<SetProblem> {
        let mut problems = Vec::new();
        for policy in Policy::ALL {
            let mut found = Vec::new();
            let listed = self.each_file(policy, |file| {
                if set_of(file).is_none() && !is_known(file) {
                    found.push(shown_name(file));
                }
            });
            if listed.is_err() {
                continue;
            }
            found.sort_unstable();
            let more = found.len().saturating_sub(NAMED) as u64;
            found.truncate(NAMED);
            problems.extend(found.into_iter().map(|file| not_read(policy, file)));
            if more > 0 {
                let more = counted(more, "more file", "more files");
                let message = format!("{more} in sets/{policy} are not read: see ls");
                problems.push(problem(policy, String::new(), message));
            }
        }
        problems
    }

    fn each_file(&self, policy: Policy, mut with: impl FnMut(&OsStr)) -> Result<(), SetError> {
        let folder = self.folder(policy);
        let io_error = |source: io::Error| SetError::Io {
            path: folder.clone(),
            source,
        };
        for file in fs::read_dir(&folder).map_err(io_error)? {
            with(&file.map_err(io_error)?.file_name());
        }
        Ok(())
    }
}

fn set_of(file: &OsStr) -> Option<SetName> {
    file.to_str()?.strip_suffix(".couic")?.parse().ok()
}

/// Files that nobody takes for a set: those of editors and of this program, and hidden ones of other names.
fn is_known(file: &OsStr) -> bool {
    let name = file.as_encoded_bytes();
    let is_set = name.ends_with(b".couic");
    let is_hidden = name.starts_with(b".") && !is_set;
    is_hidden || name.ends_with(b"~") || name.ends_with(b".couic.reverted")
}

fn not_read(policy: Policy, file: String) -> SetProblem {
    let why = if file.ends_with(".couic") {
        "a set's name has 1 to 48 letters, digits, _ and -"
    } else {
        "a set is a file NAME.couic"
    };
    let message = format!("sets/{policy}/{file} is not read: {why}; rename it");
    problem(policy, file, message)
}

fn problem(policy: Policy, file: String, message: String) -> SetProblem {
    SetProblem {
        policy,
        file,
        line: None,
        message,
    }
}
