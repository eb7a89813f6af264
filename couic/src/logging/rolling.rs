//! A log file, rotated daily or weekly, and where it has reached its size: then `couic.log.DATE.1` and so on follow.
//! `couic.log` is bounded by the number of files, `audit.log` by their bytes together.
//!
//! tracing-appender does not fit: it deletes a file at every start, even the one that it is about to append to, and
//! does not set owner and mode.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, lchown},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use couic_common::unix_seconds;
use nix::unistd::geteuid;

use super::{live::Live, stamp};
use crate::config::{Logging, Rotation};
use couic_files::{Account, Standing, advice, give_to, is_foreign_link, open_own, refuses_data};

/// The main log.
const MAIN: &str = "couic.log";
/// The audit log.
pub(super) const AUDIT: &str = "audit.log";
const DAY: u64 = 86_400;
const MIB: u64 = 1024 * 1024;
/// Seconds between two attempts to open a file.
const RETRY: u64 = 60;

/// The files of the audit log in which its bytes are kept: the oldest is deleted at a time.
const PARTS: u64 = 16;

/// The log file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the log file {}: {source}: check [logging] dir, its owner and its mode", path.display())]
pub struct RollingError {
    /// The file, or its directory.
    pub path: PathBuf,
    /// The error of the system call.
    pub source: io::Error,
}

/// Which files are kept.
#[derive(Clone, Copy, Debug)]
enum Keep {
    /// So many of the newest.
    Files(usize),
    /// The newest, as long as all together stay below so many bytes.
    Bytes(u64),
}

/// One of the two logs.
struct Kind {
    name: &'static str,
    rotation: Rotation,
    keep: Keep,
    most: Option<u64>,
    note: Note,
}

/// What a line about the log itself looks like.
type Note = fn(&Live, &str) -> String;

/// Appends to the file of the current day or week.
pub(super) struct RollingFile {
    dir: PathBuf,
    name: &'static str,
    rotation: Rotation,
    keep: Keep,
    owner: Account,
    note: Note,
    live: Arc<Live>,
    /// How often the log was reopened when the file was last looked at.
    reopened: u64,
    now: fn() -> u64,
    file: File,
    /// The period of the file, in Unix seconds.
    span: std::ops::Range<u64>,
    /// The number of the file within its period.
    part: u32,
    /// The size at which the next part begins, in bytes; none without rotation.
    most: Option<u64>,
    size: u64,
    /// Whether the file was in place under its name at the last check.
    in_place: bool,
    /// When that was checked, in Unix seconds.
    checked: u64,
    problem: Option<String>,
}

impl RollingFile {
    /// The main log.
    pub(super) fn open(
        logging: &Logging,
        owner: &Account,
        live: &Arc<Live>,
    ) -> Result<Self, RollingError> {
        Self::open_at(logging, owner, live, unix_seconds)
    }

    fn open_at(
        logging: &Logging,
        owner: &Account,
        live: &Arc<Live>,
        now: fn() -> u64,
    ) -> Result<Self, RollingError> {
        let kind = Kind {
            name: MAIN,
            rotation: logging.rotation,
            keep: Keep::Files(logging.max_log_files),
            most: (logging.rotation != Rotation::Never).then(|| logging.max_file_mib * MIB),
            note: |live, message| super::warning(live.format(), message),
        };
        Self::open_kind(&kind, logging, owner, live, now)
    }

    /// The audit log. It is always rotated, so that its bound holds.
    pub(super) fn open_audit(
        logging: &Logging,
        owner: &Account,
        live: &Arc<Live>,
    ) -> Result<Self, RollingError> {
        Self::open_audit_at(logging, owner, live, unix_seconds)
    }

    fn open_audit_at(
        logging: &Logging,
        owner: &Account,
        live: &Arc<Live>,
        now: fn() -> u64,
    ) -> Result<Self, RollingError> {
        let all = logging.audit_max_mib * MIB;
        let kind = Kind {
            name: AUDIT,
            rotation: match logging.rotation {
                Rotation::Weekly => Rotation::Weekly,
                Rotation::Daily | Rotation::Never => Rotation::Daily,
            },
            keep: Keep::Bytes(all),
            most: Some((all / PARTS).max(MIB / 4)),
            note: |_, message| super::audit::note(message),
        };
        Self::open_kind(&kind, logging, owner, live, now)
    }

    fn open_kind(
        kind: &Kind,
        logging: &Logging,
        owner: &Account,
        live: &Arc<Live>,
        now: fn() -> u64,
    ) -> Result<Self, RollingError> {
        let Kind {
            name,
            rotation,
            keep,
            most,
            note,
        } = *kind;
        let dir = &logging.dir;
        let now_is = now();
        let mut span = span(rotation, now_is);
        let part = last_part(dir, name, rotation, span.start);
        let path = dir.join(file_name(name, rotation, span.start, part));
        let opened =
            make_dir(dir, owner).and_then(|()| open_file(&path, owner, |text| note(live, text)));
        let mut problem = None;
        let file = match opened {
            Err(source) if refuses_data(&source) => {
                let advice = advice(dir, &source);
                problem = Some(format!(
                    "the log file {} cannot be written: {source}; lines go to {}, and opening the file is retried each minute; {advice}",
                    path.display(),
                    match (name, logging.stdout) {
                        (AUDIT, _) => "nowhere",
                        (_, true) => "standard output only",
                        (_, false) => "standard error",
                    }
                ));
                span = now_is..now_is.saturating_add(RETRY);
                fallback(name, logging.stdout).map_err(|source| RollingError { path, source })?
            }
            other => other.map_err(|source| RollingError { path, source })?,
        };
        let size = file.metadata().map_or(0, |found| found.len());
        let rolling = Self {
            part,
            most,
            size,
            dir: dir.clone(),
            name,
            rotation,
            keep,
            owner: owner.clone(),
            note,
            live: Arc::clone(live),
            reopened: live.reopened(),
            now,
            file,
            span,
            in_place: problem.is_none(),
            checked: now_is,
            problem,
        };
        rolling.prune();
        Ok(rolling)
    }

    /// Why the file could not be opened at the start, if the disk could not be written.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.clone()
    }

    /// Begins the next file: of the next period, or the next part of this one. On error, lines go on in the old one, with a
    /// line about the error once a minute.
    fn roll(&mut self, now: u64, next_part: bool) -> io::Result<()> {
        let span = span(self.rotation, now);
        let last = last_part(&self.dir, self.name, self.rotation, span.start);
        let part = if next_part { last + 1 } else { last };
        let name = file_name(self.name, self.rotation, span.start, part);
        let path = self.dir.join(name);
        match open_file(&path, &self.owner, |text| (self.note)(&self.live, text)) {
            Ok(file) => {
                self.size = file.metadata().map_or(0, |found| found.len());
                self.file = file;
                self.span = span;
                self.part = part;
                self.in_place = true;
                self.prune();
                Ok(())
            }
            Err(e) => {
                self.span = now..now.saturating_add(RETRY);
                self.in_place = false;
                let shown = path.display();
                // A quote in the path must not break JSON.
                let message =
                    format!("cannot open the log file {shown}: {e}").replace(['"', '\\'], "?");
                let line = (self.note)(&self.live, &message);
                self.file.write_all(line.as_bytes())
            }
        }
    }

    /// Whether the file was moved or removed, as by logrotate: then a new one is created. Checked once a second at most,
    /// and when the log is reopened.
    fn was_moved(&mut self, now: u64) -> bool {
        let reopened = self.live.reopened();
        if !self.in_place || (now == self.checked && reopened == self.reopened) {
            return false;
        }
        (self.checked, self.reopened) = (now, reopened);
        let name = file_name(self.name, self.rotation, self.span.start, self.part);
        let path = self.dir.join(name);
        let Ok(ours) = self.file.metadata() else {
            return false;
        };
        match fs::symlink_metadata(path) {
            Ok(found) => (found.dev(), found.ino()) != (ours.dev(), ours.ino()),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Deletes the oldest log files beyond those to keep. Other files are left alone; on error, the next rotation
    /// retries.
    fn prune(&self) {
        let Ok(ours) = files(&self.dir, self.name) else {
            return;
        };
        let kept = match self.keep {
            Keep::Files(files) => files,
            Keep::Bytes(all) => {
                // The newest is going to grow.
                let mut room = all.saturating_sub(self.most.unwrap_or(0));
                let older = ours.iter().rev().skip(1);
                let fit = older.take_while(|file| {
                    let size = fs::symlink_metadata(file).map_or(0, |found| found.len());
                    let fits = size <= room;
                    room = room.saturating_sub(size);
                    fits
                });
                fit.count() + 1
            }
        };
        for file in ours.iter().take(ours.len().saturating_sub(kept)) {
            let _ = fs::remove_file(file);
        }
    }

    /// The part of these lines that the file has room for. An empty file has room for any line.
    fn fitting<'a>(&self, lines: &'a [u8]) -> &'a [u8] {
        let Some(most) = self.most.filter(|_| self.in_place) else {
            return lines;
        };
        let room = usize::try_from(most.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if lines.len() <= room {
            return lines;
        }
        let is_end = |byte: &u8| *byte == b'\n';
        let fits = lines[..room].iter().rposition(is_end);
        let first = lines.iter().position(is_end).filter(|_| self.size == 0);
        match fits.or(first) {
            Some(end) => &lines[..=end],
            None if self.size == 0 => lines,
            None => &[],
        }
    }
}

impl Write for RollingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = (self.now)();
        if !self.span.contains(&now) || self.was_moved(now) {
            self.roll(now, false)?;
        }
        if self.fitting(bytes).is_empty() && !bytes.is_empty() {
            self.roll(now, true)?;
        }
        let written = self.file.write(self.fitting(bytes))?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The period of the file that `now` belongs to. Weeks begin on Sunday.
fn span(rotation: Rotation, now: u64) -> std::ops::Range<u64> {
    let today = now / DAY;
    match rotation {
        Rotation::Never => 0..u64::MAX,
        Rotation::Daily => today * DAY..(today + 1) * DAY,
        Rotation::Weekly => {
            // 1970-01-01 was a Thursday.
            let sunday = today.saturating_sub((today + 4) % 7);
            sunday * DAY..(sunday + 7) * DAY
        }
    }
}

fn file_name(name: &str, rotation: Rotation, start: u64, part: u32) -> String {
    if rotation == Rotation::Never {
        return name.to_owned();
    }
    numbered(name, &stamp::utc(start).date().to_string(), part)
}

fn numbered(name: &str, date: &str, part: u32) -> String {
    match part {
        0 => format!("{name}.{date}"),
        _ => format!("{name}.{date}.{part}"),
    }
}

/// Date and part of each file of a rotated log, oldest first.
fn parts(dir: &Path, name: &str) -> io::Result<Vec<(String, u32)>> {
    let mut ours = Vec::new();
    for item in fs::read_dir(dir)? {
        let item = item?.file_name().into_string();
        ours.extend(item.ok().and_then(|item| dated(name, &item)));
    }
    ours.sort();
    Ok(ours)
}

/// The files of a rotated log that exist, oldest first.
///
/// # Errors
/// If the directory cannot be read.
pub(super) fn files(dir: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
    let path = |(date, part): (String, u32)| dir.join(numbered(name, &date, part));
    Ok(parts(dir, name)?.into_iter().map(path).collect())
}

/// The last part of a period that exists, 0 if there is none.
fn last_part(dir: &Path, name: &str, rotation: Rotation, start: u64) -> u32 {
    if rotation == Rotation::Never {
        return 0;
    }
    let date = stamp::utc(start).date().to_string();
    let parts = parts(dir, name).unwrap_or_default().into_iter();
    let mut parts = parts.filter(|(of, _)| *of == date);
    parts.next_back().map_or(0, |(_, part)| part)
}

/// Date and part of a log file of ours.
fn dated(log: &str, name: &str) -> Option<(String, u32)> {
    let rest = name.strip_prefix(log)?.strip_prefix('.')?;
    let (date, part) = match rest.split_once('.') {
        None => (rest, 0),
        Some((date, part)) => (date, part.parse().ok().filter(|part| *part > 0)?),
    };
    let is_date = date.len() == 10
        && date.bytes().enumerate().all(|(n, b)| match n {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        });
    // `.01` and `.+1` would be other files.
    let is_ours = is_date && numbered(log, date, part) == name;
    is_ours.then(|| (date.to_owned(), part))
}

fn make_dir(dir: &Path, owner: &Account) -> io::Result<()> {
    if is_foreign_link(dir) {
        let text = "the directory is a symbolic link that does not belong to root: run chown -h root on it, or remove it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    if geteuid().is_root() {
        lchown(dir, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(())
}

/// The output while there is no file.
fn fallback(name: &str, on_stdout: bool) -> io::Result<File> {
    if name == AUDIT {
        // Takes nothing, so that the lost entries are counted.
        return OpenOptions::new().write(true).open("/dev/full");
    }
    if on_stdout {
        return OpenOptions::new().write(true).open("/dev/null");
    }
    Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?))
}

/// Does not follow a symbolic link: the directory may belong to a less privileged user. A file with a second name is left
/// to that name.
fn open_file(path: &Path, owner: &Account, note: impl Fn(&str) -> String) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).mode(0o640);
    let file = open_own(path, options.create(true))?;
    if give_to(&file, owner)? == Standing::Ours {
        return Ok(file);
    }
    fs::remove_file(path)?;
    let mut file = open_own(path, options.create_new(true))?;
    give_to(&file, owner)?;
    let line =
        "the log file before this one had a second name (a hard link), and keeps that one only";
    file.write_all(note(line).as_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests;
