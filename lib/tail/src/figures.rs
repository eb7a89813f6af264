//! Figures of a source: written by its thread alone, read by anybody without a lock.

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;

/// What a source has done since it started, and where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Lines handed over, cut ones included.
    pub lines: u64,
    /// Bytes read, newlines included.
    pub bytes: u64,
    /// Lines of more than [`crate::MAX_LINE`] bytes, and lines whose end never came.
    pub cut_lines: u64,
    /// Bytes of such lines that were not handed over.
    pub cut_bytes: u64,
    /// Bytes jumped over to be at the newest lines: those read later (`late_bytes`), lost, still to be read, and those
    /// older than `catch_up`.
    pub skipped_bytes: u64,
    /// Of them, read later.
    pub late_bytes: u64,
    /// Of them, lost: their file was gone, or there were too many gaps.
    pub lost_bytes: u64,
    /// Bytes written and not yet read, without the gaps.
    pub behind_bytes: u64,
    /// For how long the source has not been at the newest line.
    pub lag: Duration,
    /// Files replaced by renaming or truncated.
    pub rotations: u64,
    /// Files known, open or not.
    pub files: u64,
    /// Datagrams that the kernel dropped since the socket's buffer was full.
    pub lost: u64,
    /// Failures: files that could not be read, checkpoints that could not be written, restarts of journalctl.
    pub errors: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
}

/// A file or directory that a source names and cannot read at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The file or directory.
    pub path: PathBuf,
    /// Above all `PermissionDenied`, or `NotFound`: not there for a minute.
    pub kind: io::ErrorKind,
    /// What the system says.
    pub why: String,
}

impl Unread {
    pub(crate) fn new(path: PathBuf, error: &io::Error) -> Self {
        Self {
            path,
            kind: error.kind(),
            why: error.to_string(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// At most some dozens.
    pub(crate) unread: Mutex<Vec<Unread>>,
    pub(crate) lines: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) cut_lines: AtomicU64,
    pub(crate) cut_bytes: AtomicU64,
    pub(crate) skipped_bytes: AtomicU64,
    pub(crate) late_bytes: AtomicU64,
    pub(crate) lost_bytes: AtomicU64,
    pub(crate) behind_bytes: AtomicU64,
    pub(crate) lag_ms: AtomicU64,
    pub(crate) rotations: AtomicU64,
    pub(crate) files: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Relaxed);
}

/// Sets a gauge.
pub(crate) fn gauge(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Relaxed);
}

impl Counters {
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            lines: self.lines.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            cut_lines: self.cut_lines.load(Relaxed),
            cut_bytes: self.cut_bytes.load(Relaxed),
            skipped_bytes: self.skipped_bytes.load(Relaxed),
            late_bytes: self.late_bytes.load(Relaxed),
            lost_bytes: self.lost_bytes.load(Relaxed),
            behind_bytes: self.behind_bytes.load(Relaxed),
            lag: Duration::from_millis(self.lag_ms.load(Relaxed)),
            rotations: self.rotations.load(Relaxed),
            files: self.files.load(Relaxed),
            lost: self.lost.load(Relaxed),
            errors: self.errors.load(Relaxed),
            checkpoints: self.checkpoints.load(Relaxed),
        }
    }
}
