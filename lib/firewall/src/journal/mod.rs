//! Persistent state: a log of changes and snapshots, in the working directory's `state`. Files and frames are those of
//! `couic_durable`; this module has the records, and decides when to write and sync.
//!
//! What holds:
//! - Once [`Journal::commit`] has returned, all records appended before, by any thread, are in the page cache: they
//!   survive kill -9.
//! - [`Journal::sync`], called every [`SYNC`], flushes them to the disk: a power cut costs the records since the last
//!   completed one.
//! - Recovered records are those that were written: every record has a checksum. A torn end is normal, other damage costs
//!   the records that it hit; the file is kept and named by [`Journal::problems`]. Damage never keeps the daemon from
//!   starting.
//! - A disk that is full, read-only or broken delays no change: changes continue unrecorded, and are counted. Once the
//!   disk works again, [`Journal::maintain`] writes a snapshot of the whole state, and nothing is missing any more.
//! - Memory is bounded if callers that append check [`Journal::is_behind`]: records are buffered until one `commit`, and
//!   not at all while the disk fails.
//!
//! An owner of records appends one under the lock that guards its data, commits after releasing that lock, and lists its
//! whole state as [`Rows`]. Records are absolute, so a record that is both in a snapshot and in the log after it is
//! harmless.
//!
//! Why no embedded store, and why write(2) and not a mapped file: `docs/architecture.md`.

mod append;
mod compact;
mod record;
mod recover;
mod register;
mod status;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
    time::Duration,
};

use couic_durable::{Folder, Format, Segment, Untrusted};
use parking_lot::Mutex;

use self::{compact::Upkeep, recover::Recovery, status::Health};
pub use self::{
    record::{Record, RuleClaims},
    recover::{Recovered, Registers, SavedRegister},
    register::{Register, RegisterRow},
    status::JournalFigures,
};

/// The format of `journal-….log` and `journal-….snap`. A new kind of record that must not be ignored needs a new version: 2 has
/// claims by client.
const FORMAT: Format = Format {
    prefix: "journal",
    version: 2,
    max_payload: 1 << 20,
};

/// The time between two calls of [`Journal::sync`]. Plus the duration of two syncs, a power cut costs that much: 100 ms
/// on a disk that syncs within 25 ms.
pub const SYNC: Duration = Duration::from_millis(50);

/// The time between two calls of [`Journal::maintain`].
pub const UPKEEP: Duration = Duration::from_secs(1);

/// Why the state cannot be used, in a way that only the operator can repair.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Other users could have put rules there, or the daemon may not read them.
    #[error("the state in {}: {problem}", path.display())]
    Untrusted {
        /// The directory or file.
        path: PathBuf,
        /// The problem and its remedy.
        problem: String,
    },
}

impl From<Untrusted> for StateError {
    fn from(Untrusted { path, problem }: Untrusted) -> Self {
        Self::Untrusted { path, problem }
    }
}

/// An owner of records.
pub trait Rows: Send + Sync {
    /// Calls `each` with a record for every element of its state, as of some time during the call. Must not hold the lock
    /// under which it appends during these calls.
    ///
    /// # Errors
    /// The first error of `each`.
    fn rows(&self, each: &mut dyn FnMut(&Record) -> io::Result<()>) -> io::Result<()>;
}

/// The journal. Share it as an `Arc`.
pub struct Journal {
    folder: Folder,
    // In lock order.
    upkeep: Mutex<Upkeep>,
    writer: Mutex<Writer>,
    pending: Mutex<Pending>,
    health: Mutex<Health>,
    /// [`Pending::records`], to read without that lock. Written under its lock.
    appended: AtomicU64,
    /// How many of them are written or given up.
    settled: AtomicU64,
}

/// Records that are appended and not written yet.
#[derive(Debug, Default)]
struct Pending {
    frames: Vec<u8>,
    /// The salt of the current segment.
    salt: u32,
    /// Whether there is a segment to write to.
    recording: bool,
    records: u64,
    /// Changes that are in no log, in total.
    unrecorded: u64,
    /// Those of them that are in no snapshot, either.
    missing: u64,
    /// Whether the disk may have lost written records, and no snapshot has replaced them yet.
    has_hole: bool,
}

/// The current segment.
#[derive(Debug, Default)]
struct Writer {
    segment: Option<Segment>,
    /// An empty buffer for reuse.
    spare: Vec<u8>,
    /// Whether something was written since the last sync.
    unsynced: bool,
    /// Bytes of the logs since the last snapshot, without the current one.
    log_bytes: u64,
    snapshot_bytes: u64,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Journal {
    /// Recovers the state in `dir`, which is created if it is missing, and starts a new log. A failing disk is no error:
    /// see [`Journal::problems`].
    ///
    /// # Errors
    /// [`StateError`] if another user could have written the files, or access is denied: the operator has to decide.
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
}
