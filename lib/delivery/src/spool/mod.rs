//! A durable queue: an append-only log of events, with acknowledgements.
//!
//! Guarantees:
//! - **Never blocks**: [`Spool::append`] and [`Spool::ack`] only queue work for the spool's thread. To wait until an
//!   event is on disk, await [`Spool::durable`].
//! - **At least once**: after a crash at any moment, every event that was reported durable and is not acknowledged is
//!   recovered. An acknowledgement may be lost with its last group: then the event is delivered twice.
//! - **Torn tails are ignored** at every byte offset, damage in the middle costs the records hit and no others, both are
//!   counted ([`Recovery`]). Payloads cannot forge records: files and frames are those of `couic_durable`.
//! - **A full or broken disk** means memory only and an alarm ([`SpoolStatus::alarm`]). Writing is retried every few
//!   seconds, and then catches up.
//! - **Bounded**: by the unacknowledged events; the folder takes at most twice that and some segments.
//!
//! One process at a time: the folder is locked. Payloads are stored as they are, so they must not contain secrets.

mod batch;
mod disk;
mod old;
mod record;
mod recover;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use couic_durable::{Alarm, FileSystem, Folder, LockError, Medium, Pause};
use parking_lot::Mutex;

use batch::Op;
use disk::Disk;
use record::{COUNTERS, FORMAT, MAX_PAYLOAD};
use writer::{Shared, Writer};

/// How long a dropped spool waits for its last group. A disk that hangs must not hang the shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where and how to spool.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// The folder, created if missing, for this spool alone.
    pub dir: PathBuf,
    /// The size at which a new segment is started.
    pub segment_bytes: u64,
    /// How long to wait after an error before the disk is tried again.
    pub retry_every: Duration,
}

impl SpoolConfig {
    /// Segments of 4 MiB; a failed disk is tried again every 5 s.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 4 << 20,
            retry_every: Duration::from_secs(5),
        }
    }
}

/// Why a spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process holds the lock.
    #[error("spool {}: another process uses it. Is Couic running twice?", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The file system reported an error.
    #[error("spool {}: {source}. Check that the folder belongs to Couic's user", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The event is too large.
    #[error("an event of {len} bytes is too large for the spool: {MAX_PAYLOAD} at most")]
    TooLarge {
        /// Its size.
        len: usize,
    },
}

/// An event that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number.
    pub seq: u64,
    /// Its position: events are sorted by this, then by number.
    pub order: u64,
    /// How many of its parts are done.
    pub done: u64,
    /// The payload.
    pub payload: Arc<[u8]>,
}

/// Statistics of a recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments read.
    pub segments: usize,
    /// Bytes of torn tails that were ignored: a crash while writing.
    pub cut_bytes: u64,
    /// Segments with damage, also with damage that cost no record.
    pub damaged_segments: usize,
    /// Bytes of them that may have been records and could not be read.
    pub lost_bytes: u64,
    /// Their records of a kind that this version does not know.
    pub unknown_records: u64,
}

/// The content of a spool when it was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The unacknowledged events, in order.
    pub events: Vec<StoredEvent>,
    /// The owner's counters, by slot.
    pub counters: [u64; COUNTERS],
    /// Damage and torn tails.
    pub recovery: Recovery,
}

/// Where an event is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk, synced.
    Disk,
    /// In memory only: there is no spool, or its disk fails.
    Memory,
}

/// Status of a spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Bytes on disk.
    pub bytes: u64,
    /// Files on disk.
    pub segments: usize,
    /// Why it is memory only, if it is.
    pub alarm: Option<Arc<str>>,
}

/// An open spool. See the [module](self).
pub struct Spool {
    shared: Arc<Shared>,
    closed: Mutex<mpsc::Receiver<()>>,
    /// Held for the lock on it.
    _lock: File,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Spool {
    /// Opens a folder and recovers its content. Blocks while it reads.
    ///
    /// # Errors
    /// [`SpoolError::Locked`], [`SpoolError::Io`].
    pub fn open(config: &SpoolConfig) -> Result<(Self, Recovered), SpoolError> {
        Self::open_on(config, Arc::new(FileSystem))
    }

    fn open_on(
        config: &SpoolConfig,
        medium: Arc<dyn Medium>,
    ) -> Result<(Self, Recovered), SpoolError> {
        let dir = &config.dir;
        let io = |source| SpoolError::Io {
            dir: dir.clone(),
            source,
        };
        let folder = Folder::on(dir, FORMAT, medium);
        let lock = folder.lock().map_err(|error| match error {
            LockError::InUse => SpoolError::Locked { dir: dir.clone() },
            LockError::Io(source) => io(source),
        })?;
        let loaded = recover::load(&folder).map_err(io)?;
        let mut events: Vec<_> = loaded.events.values().cloned().collect();
        events.sort_by_key(|event| (event.order, event.seq));
        let recovered = Recovered {
            events,
            counters: loaded.counters,
            recovery: loaded.recovery,
        };
        let next_seq = loaded.next_seq;
        let mut disk = Disk::new(folder, config.segment_bytes, loaded);
        disk.tidy();
        if disk.must_compact() {
            // On error, the first group does it.
            disk.compact().ok();
        }
        let shared = Arc::new(Shared::new(next_seq, &disk));
        let writer = Writer {
            shared: Arc::clone(&shared),
            disk,
            pause: Pause::new(config.retry_every, config.retry_every),
            alarm: Alarm::default(),
        };
        let (closing, closed) = mpsc::channel();
        let run = move || {
            writer.run();
            drop(closing);
        };
        (thread::Builder::new().name("couic-spool".to_owned()))
            .spawn(run)
            .map_err(io)?;
        let spool = Self {
            shared,
            closed: Mutex::new(closed),
            _lock: lock,
        };
        Ok((spool, recovered))
    }

    /// Adds an event and returns its number. `order` gives it the position of an older one; without, it is the last.
    ///
    /// # Errors
    /// [`SpoolError::TooLarge`], over 64 MiB.
    pub fn append(&self, order: Option<u64>, payload: Arc<[u8]>) -> Result<u64, SpoolError> {
        let len = payload.len();
        if len > MAX_PAYLOAD {
            return Err(SpoolError::TooLarge { len });
        }
        Ok(self.shared.append(order, payload))
    }

    /// Acknowledges an event.
    pub fn ack(&self, seq: u64) {
        self.shared.submit(Op::Ack { seq });
    }

    /// Records that the first `done` parts of the event are done.
    pub fn progress(&self, seq: u64, done: u64) {
        self.shared.submit(Op::Progress { seq, done });
    }

    /// Stores a number for the owner. There are two slots, 0 and 1.
    pub fn set_counter(&self, slot: u64, value: u64) {
        self.shared.submit(Op::Counter { slot, value });
    }

    /// Waits until everything submitted so far is on disk, or the disk has failed.
    pub async fn durable(&self) -> Durability {
        let count = self.shared.count();
        let mut state = self.shared.state.subscribe();
        let settled = state.wait_for(|state| state.durable >= count || state.alarm.is_some());
        match settled.await {
            Ok(state) if state.durable >= count => Durability::Disk,
            _ => Durability::Memory,
        }
    }

    /// The current status.
    #[must_use]
    pub fn status(&self) -> SpoolStatus {
        let state = self.shared.state.borrow();
        SpoolStatus {
            bytes: state.bytes,
            segments: state.segments,
            alarm: state.alarm.clone(),
        }
    }
}

impl Drop for Spool {
    /// Flushes, within some seconds.
    fn drop(&mut self) {
        self.shared.stop();
        // No message is sent: the thread drops the sender when it is done.
        if self.closed.lock().recv_timeout(CLOSE_TIMEOUT) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::error!("the disk hangs: the last notifications may not be in the spool");
        }
    }
}
