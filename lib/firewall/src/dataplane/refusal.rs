//! The kernel's message when it refuses the XDP program.
//!
//! The verifier tells of every instruction that it walked, megabytes of it, and why it stopped in the last line. An
//! operator gets that line; the rest goes to a file, for those who mend the program.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use aya::programs::ProgramError;

use super::features;

/// In the working directory.
const FILE: &str = "verifier.log";
/// How much of the verifier's log is written: its end, which has the reason.
const MOST: usize = 1 << 20;
/// How much of one line is told.
const LINE: usize = 240;

/// The kernel refused a program.
#[derive(thiserror::Error)]
#[error("{what}")]
pub struct Refusal {
    what: String,
    dump: String,
}

/// Without the dump, which may have megabytes.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refusal").field(&self.what).finish()
    }
}

impl From<ProgramError> for Refusal {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::LoadError {
                io_error,
                verifier_log,
            } => Self::of(&features::release(), &io_error, verifier_log.to_string()),
            other => Self {
                what: format!("cannot load the XDP program: {other}"),
                dump: String::new(),
            },
        }
    }
}

impl Refusal {
    /// The refusal of a kernel of that release.
    pub(super) fn of(release: &str, error: &io::Error, dump: String) -> Self {
        let said = match last_words(&dump) {
            Some(words) => format!("its verifier says: {words} ({error})"),
            None if error.kind() == io::ErrorKind::PermissionDenied => format!(
                "{error}; the capabilities that this takes are there, so a security module or the seccomp profile of a container forbids bpf(2)"
            ),
            None => error.to_string(),
        };
        Self {
            what: format!("Linux {release} refused the XDP program: {said}"),
            dump,
        }
    }

    /// Writes the verifier's log to a file of the directory, in place of the one of an earlier start. Returns a
    /// sentence about it; an empty one if the log is empty.
    pub fn save(&self, dir: &Path) -> Option<String> {
        if self.dump.is_empty() {
            return None;
        }
        let path = dir.join(FILE);
        Some(match write(&path, tail(&self.dump, MOST)) {
            Ok(()) => format!(
                "all that it said is in {}: report it with that file",
                path.display()
            ),
            Err(error) => format!(
                "all that it said cannot be written to {}: {error}",
                path.display()
            ),
        })
    }
}

/// Writes beside the old file, so that a full disk leaves that. A leftover under the temporary name is replaced.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new: PathBuf = path.with_extension("log.new");
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    let written = file.write_all(text.as_bytes());
    let done = written.and_then(|()| fs::rename(&new, path));
    done.inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

/// The end of a text, from the beginning of a character on.
fn tail(text: &str, most: usize) -> &str {
    let from = text.len().saturating_sub(most);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at));
    from.and_then(|from| text.get(from..)).unwrap_or_default()
}

/// The last line that is no statistics.
fn last_words(dump: &str) -> Option<String> {
    const STATISTICS: [&str; 3] = ["processed ", "verification time ", "stack depth "];
    let line =
        dump.lines().rev().map(str::trim).find(|line| {
            !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start))
        })?;
    // It goes to a terminal and to the log.
    let clean = line.chars().filter(|c| !c.is_control());
    Some(clean.take(LINE).collect())
}

#[cfg(test)]
mod tests;
