//! What outlives the process: a log of changes and snapshots, in the working directory's `state`. Files and frames are
//! those of `couic_durable`; here are the records, and who waits for what.
//!
//! What holds:
//! - Once [`Journal::commit`] has returned, what was appended before is with the kernel: it survives kill -9. One
//!   commit serves all that was appended, by any thread.
//! - [`Journal::sync`], called every [`SYNC`], brings it to the disk: a power cut costs what was appended since the
//!   last one that was done.
//! - What is read back was written so: every record has a checksum. A torn end is normal, other damage costs the
//!   records that it hit; the file is kept and named by [`Journal::problems`]. Damage never keeps the daemon from
//!   starting.
//! - A disk that is full, read-only or broken delays no change: they go on unrecorded, and are counted. Once the disk
//!   takes data again, [`Journal::maintain`] writes a snapshot of all that holds, and nothing is missing any more.
//! - Memory is bounded if callers that append check [`Journal::is_behind`]: records wait for one `commit`, and not at
//!   all while the disk takes nothing.
//!
//! An owner of records appends one under the lock that guards its data, commits after releasing that lock, and lists
//! all that holds as [`Rows`]. Records are absolute, so those that stand in a snapshot and in the log behind it do no
//! harm.
//!
//! Why no embedded store, and why write(2) and not a mapped file: `docs/architecture.md`.

mod compact;
mod record;
mod recover;
mod status;
#[cfg(test)]
mod tests;

use std::{
    io, mem,
    path::{Path, PathBuf},
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
    time::Duration,
};

use couic_common::RuleKey;
use couic_durable::{Folder, Format, Segment, Untrusted, count_frames};
use parking_lot::Mutex;

use self::{compact::Upkeep, recover::Recovery, status::Health};
pub use self::{
    record::{Record, Register, RegisterRow, RuleClaims},
    recover::{Recovered, Registers, SavedRegister},
    status::JournalFigures,
};
use crate::rules::ClaimRef;

/// The frames of `journal-….log` and `journal-….snap`. A new kind of record that must not be overlooked needs another
/// version.
const FORMAT: Format = Format {
    prefix: "journal",
    version: 1,
    max_payload: 1 << 20,
};

/// Between two calls of [`Journal::sync`]. With the time that two of them take themselves, that is what a power cut
/// costs: 100 ms on a disk that syncs within 25 ms.
pub const SYNC: Duration = Duration::from_millis(50);

/// Between two calls of [`Journal::maintain`].
pub const UPKEEP: Duration = Duration::from_secs(1);

/// So many records may wait for a [`Journal::commit`], some 50 bytes each.
const WAITING: u64 = 1024;

/// A buffer larger than this is not kept for the next time.
const BUFFER: usize = 1 << 20;

/// Why the state cannot be used, in a way that only the operator can repair.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Other users could have put rules there, or the daemon may not read them.
    #[error("the state in {}: {problem}", path.display())]
    Untrusted {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl From<Untrusted> for StateError {
    fn from(Untrusted { path, problem }: Untrusted) -> Self {
        Self::Untrusted { path, problem }
    }
}

/// An owner of records that are kept here.
pub trait Rows: Send + Sync {
    /// Hands over a record for everything that holds, some time during the call. It must not hold the lock under which
    /// it appends while it does.
    ///
    /// # Errors
    /// Those of `each`, at the first of which it ends.
    fn rows(&self, each: &mut dyn FnMut(&Record) -> io::Result<()>) -> io::Result<()>;
}

/// The log that is written, and all that belongs to it. Share it as an `Arc`.
pub struct Journal {
    folder: Folder,
    // Lock order, when several are held.
    upkeep: Mutex<Upkeep>,
    writer: Mutex<Writer>,
    pending: Mutex<Pending>,
    health: Mutex<Health>,
    /// [`Pending::records`], to see without that lock whether there is anything to do. Written under its lock.
    appended: AtomicU64,
    /// Those of them that wait no more, be they written or given up.
    settled: AtomicU64,
}

/// What was appended and not written yet.
#[derive(Debug, Default)]
struct Pending {
    frames: Vec<u8>,
    /// Of the segment that is written.
    salt: u32,
    /// Whether there is a segment that takes them.
    recording: bool,
    records: u64,
    /// Changes that no log has, in all.
    unrecorded: u64,
    /// Those of them that no snapshot has either.
    missing: u64,
    /// Whether the disk may have lost what it took, and no snapshot stands for it yet.
    has_hole: bool,
}

/// Where they go.
#[derive(Debug, Default)]
struct Writer {
    segment: Option<Segment>,
    /// An empty buffer, so that none has to be made.
    spare: Vec<u8>,
    /// Whether something was written since the last sync.
    unsynced: bool,
    /// Bytes of the logs since the last snapshot, without this one.
    log_bytes: u64,
    snapshot_bytes: u64,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Journal {
    /// Reads what is in `dir`, which is made if it is missing, and begins a new log. A disk that takes no data is
    /// no error: see [`Journal::problems`].
    ///
    /// # Errors
    /// [`StateError`] if another user could have written the files, or they may not be read: the operator has to
    /// decide.
    pub fn open(dir: &Path) -> Result<(Self, Recovered), StateError> {
        let folder = Folder::new(dir, FORMAT);
        let (listing, trouble) = match folder.ensure().and_then(|()| folder.list()) {
            Ok(listing) => (Some(listing), None),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                return Err(StateError::Untrusted {
                    path: dir.to_owned(),
                    problem: e.to_string(),
                });
            }
            Err(e) => (None, Some(e)),
        };
        let files = listing.as_ref().map_or(&[][..], |found| &found.files);
        folder.check(files)?;
        let Recovery {
            recovered,
            suspects,
            gaps,
            log_bytes,
            snapshot_bytes,
            ..
        } = recover::recover(&folder, files)?;
        let mut upkeep = Upkeep::new(listing, suspects);
        upkeep.log_suspects();
        let journal = Self {
            writer: Mutex::new(Writer {
                log_bytes,
                snapshot_bytes,
                ..Writer::default()
            }),
            pending: Mutex::default(),
            health: Mutex::new(Health::new(gaps, upkeep.problems())),
            upkeep: Mutex::new(Upkeep::new(None, Vec::new())),
            folder,
            appended: AtomicU64::default(),
            settled: AtomicU64::default(),
        };
        let begun = trouble.map_or_else(|| journal.rotate(&mut upkeep), Err);
        if let Err(e) = begun {
            journal.health.lock().raise(&format!("begin a log: {e}"));
        }
        *journal.upkeep.lock() = upkeep;
        Ok((journal, recovered))
    }

    /// Notes a record. It is safe after the next [`Journal::commit`].
    pub fn append(&self, record: &Record) {
        self.append_with(|out| record.write(out));
    }

    /// Notes what the API and peers want of a rule, as [`Record::Claims`] does.
    pub fn append_claims<'a>(&self, key: RuleKey, claims: impl Iterator<Item = ClaimRef<'a>>) {
        self.append_with(|out| record::put_claims(out, key, claims));
    }

    fn append_with(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut pending = self.pending.lock();
        if !pending.recording {
            pending.unrecorded += 1;
            pending.missing += 1;
            return;
        }
        let salt = pending.salt;
        // Records are far from being too long.
        FORMAT.put(&mut pending.frames, salt, write);
        pending.records += 1;
        self.appended.store(pending.records, Release);
    }

    /// Whether so much waits to be written that the caller should commit.
    pub fn is_behind(&self) -> bool {
        let settled = self.settled.load(Acquire);
        self.appended.load(Acquire).saturating_sub(settled) >= WAITING
    }

    /// Hands to the kernel what was appended so far, by any thread.
    pub fn commit(&self) {
        let wanted = self.appended.load(Acquire);
        if self.settled.load(Acquire) >= wanted {
            return;
        }
        let mut writer = self.writer.lock();
        // Under the writer's lock: a thread that took these records meanwhile has written them by now.
        let (mut frames, taken) = {
            let mut pending = self.pending.lock();
            if pending.frames.is_empty() {
                return;
            }
            let spare = mem::take(&mut writer.spare);
            (mem::replace(&mut pending.frames, spare), pending.records)
        };
        match writer.write(&frames) {
            Ok(()) => {
                frames.clear();
                if frames.capacity() <= BUFFER {
                    writer.spare = frames;
                }
            }
            Err(e) => self.stop_recording(&mut writer, &frames, &format!("write the log: {e}")),
        }
        self.settled.fetch_max(taken, Release);
    }

    /// Brings to the disk what was committed so far.
    pub fn sync(&self) {
        let handle = {
            let mut writer = self.writer.lock();
            if !mem::take(&mut writer.unsynced) {
                return;
            }
            writer.segment.as_ref().map(Segment::handle)
        };
        let Some(handle) = handle else { return };
        let Err(e) = handle.sync() else { return };
        // The kernel forgets what it could not write: this log may have a hole.
        let mut writer = self.writer.lock();
        if writer.segment.as_ref().is_some_and(|now| handle.is_of(now)) {
            self.stop_recording(&mut writer, &[], &format!("sync the log: {e}"));
        }
    }

    /// Brings all that waits to the disk.
    pub fn close(&self) {
        self.commit();
        self.sync();
    }

    /// No log takes records any more. `lost` are frames of which some may have been written.
    fn stop_recording(&self, writer: &mut Writer, lost: &[u8], why: &str) {
        writer.log_bytes += writer.segment.take().map_or(0, |segment| segment.bytes());
        let mut pending = self.pending.lock();
        let frames = mem::take(&mut pending.frames);
        let count = count_frames(lost) + count_frames(&frames);
        pending.recording = false;
        pending.unrecorded += count;
        pending.missing += count;
        pending.has_hole = true;
        self.settled.fetch_max(pending.records, Release);
        drop(pending);
        self.health.lock().raise(why);
    }
}

impl Writer {
    fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        let Some(segment) = &mut self.segment else {
            return Err(io::Error::other("there is none"));
        };
        self.unsynced = true;
        segment.write(frames)
    }

    /// Bytes of all logs since the last snapshot.
    fn log_bytes(&self) -> u64 {
        self.log_bytes + self.segment.as_ref().map_or(0, Segment::bytes)
    }
}
