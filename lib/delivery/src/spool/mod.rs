//! What was accepted survives: an append-only log of events, with acknowledgements.
//!
//! Guarantees:
//! - **Never blocks**: [`Spool::append`] and [`Spool::ack`] only hand over to the spool's thread. A caller that
//!   needs to know that an event is on disk awaits [`Spool::durable`].
//! - **At least once**: after a crash at any moment, every event that was reported durable and is not acknowledged is
//!   there again. An acknowledgement may be lost with its last group: then the event comes twice.
//! - **Torn tails are left out** at every byte offset, damage in the middle costs the records hit and no others, both
//!   are counted ([`Recovery`]). Payloads cannot forge records: files and frames are those of `couic_durable`.
//! - **A full or broken disk** means memory only and an alarm ([`SpoolStatus::alarm`]). Writing is tried again every
//!   few seconds, and then catches up.
//! - **Bounded**: by what its owner leaves unacknowledged; the folder takes at most twice that and some segments.
//!
//! One process at a time: the folder is locked. It stores what it is given, so never give it secrets.

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
    /// The folder, made if it is not there. Nobody else may use it.
    pub dir: PathBuf,
    /// A segment is ended when it has grown to this size.
    pub segment_bytes: u64,
    /// How long to stay memory only before the disk is tried again.
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
    /// Another process has it.
    #[error("spool {}: another process uses it. Is Couic running twice?", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The file system refuses.
    #[error("spool {}: {source}. Check that the folder belongs to Couic's user", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Too large to be read back.
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
    /// Its place among the others: by this first, then by number.
    pub order: u64,
    /// How many of its parts are dealt with.
    pub done: u64,
    /// What was stored.
    pub payload: Arc<[u8]>,
}

/// What was found at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments read.
    pub segments: usize,
    /// Bytes of torn tails that were left out: a crash while writing.
    pub cut_bytes: u64,
    /// Bytes lost in the middle: a disk that rots.
    pub damaged_bytes: u64,
}

/// What a spool held when it was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Everything that was not acknowledged, in order.
    pub events: Vec<StoredEvent>,
    /// The owner's counters, by slot.
    pub counters: [u64; COUNTERS],
    /// How sound it was.
    pub recovery: Recovery,
}

/// Where an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk, synced.
    Disk,
    /// In memory only: there is no disk, or it fails.
    Memory,
}

/// How a spool is doing.
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
    /// Opens a folder and reads back what is in it. Blocks while it reads.
    ///
    /// # Errors
    /// [`SpoolError::Locked`], or what the file system says.
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

    /// Adds an event and returns its number. `order` puts it where an older one was; without, it comes last.
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

    /// The event is dealt with.
    pub fn ack(&self, seq: u64) {
        self.shared.submit(Op::Ack { seq });
    }

    /// The first `done` parts of the event are dealt with.
    pub fn progress(&self, seq: u64, done: u64) {
        self.shared.submit(Op::Progress { seq, done });
    }

    /// Keeps a number for the owner, beside the events. There are two slots, 0 and 1.
    pub fn set_counter(&self, slot: u64, value: u64) {
        self.shared.submit(Op::Counter { slot, value });
    }

    /// Waits until everything handed in so far is on disk, or is known not to get there for now.
    pub async fn durable(&self) -> Durability {
        let count = self.shared.count();
        let mut state = self.shared.state.subscribe();
        let settled = state.wait_for(|state| state.durable >= count || state.alarm.is_some());
        match settled.await {
            Ok(state) if state.durable >= count => Durability::Disk,
            _ => Durability::Memory,
        }
    }

    /// How it is doing.
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
    /// Writes what is left, within some seconds.
    fn drop(&mut self) {
        self.shared.stop();
        // Never a message: the end of the sender is the sign.
        if self.closed.lock().recv_timeout(CLOSE_TIMEOUT) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::error!("the disk hangs: the last notifications may not be in the spool");
        }
    }
}
