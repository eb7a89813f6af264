//! Logs of the journal that the state no longer needs: kept as the log of changes, within bounds.
//!
//! They are renamed, not copied, so the history costs no write of its own.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use couic_durable::{Folder, Kind, Name};
use tracing::{info, warn};

use crate::{config, state::FORMAT};

/// The folder in the state folder.
const FOLDER: &str = "history";

/// The most files, whatever their sizes: a service that is restarted all the time leaves many small ones.
const MAX_FILES: usize = 4_096;

/// A log without records is not longer.
const EMPTY: u64 = 64;

/// Figures of the kept logs.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Files that are kept.
    pub(super) files: AtomicU64,
    /// Their bytes.
    pub(super) bytes: AtomicU64,
    /// Bytes that were deleted before their days were over, since the start.
    pub(super) cut_bytes: AtomicU64,
}

/// The kept logs, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    pub(super) folder: Folder,
    limits: config::History,
    pub(super) kept: Arc<Kept>,
}

impl Archive {
    /// Of this state folder. Does not access it yet.
    pub(crate) fn new(state: &Path, limits: config::History) -> Self {
        Self {
            folder: Folder::new(&state.join(FOLDER), FORMAT),
            limits,
            kept: Arc::default(),
        }
    }

    /// Takes over a log. On error it is where it was.
    pub(crate) fn take(&self, state: &Folder, name: &Name) -> io::Result<()> {
        let from = state.path(name);
        if fs::metadata(&from)?.len() <= EMPTY {
            return state.remove(name);
        }
        self.folder.ensure()?;
        fs::rename(from, self.folder.path(name))
    }

    /// Deletes what is beyond the limits, and counts the rest.
    pub(crate) fn prune(&self) {
        let mut logs = self.logs();
        let oldest = SystemTime::now().checked_sub(self.limits.kept);
        let mut bytes: u64 = logs.iter().map(|log| log.bytes).sum();
        let (mut expired, mut cut) = (0_u64, 0_u64);
        while let Some(first) = logs.first() {
            let is_expired = oldest.is_some_and(|oldest| first.written < oldest);
            let is_beyond = bytes > self.limits.max_bytes || logs.len() > MAX_FILES;
            if !is_expired && !is_beyond {
                break;
            }
            if let Err(error) = self.folder.remove(&first.name) {
                let path = self.folder.path(&first.name);
                warn!("cannot remove {}: {error}", path.display());
                break;
            }
            bytes -= first.bytes;
            *(if is_expired { &mut expired } else { &mut cut }) += first.bytes;
            logs.remove(0);
        }
        self.kept.files.store(logs.len() as u64, Relaxed);
        self.kept.bytes.store(bytes, Relaxed);
        self.kept.cut_bytes.fetch_add(cut, Relaxed);
        if cut > 0 {
            info!(
                "the history has reached its limit ([history] max_mib = {}): the oldest changes, {cut} bytes, \
                 are deleted before their {} days are over",
                self.limits.max_bytes >> 20,
                self.limits.kept.as_secs() / 86_400
            );
        }
    }

    /// The kept logs, oldest first; none on error.
    pub(super) fn logs(&self) -> Vec<LogFile> {
        logs(&self.folder)
    }
}

/// A log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogFile {
    pub(super) name: Name,
    pub(super) bytes: u64,
    /// When its last record was written.
    pub(super) written: SystemTime,
}

/// The logs of a folder, oldest first.
pub(super) fn logs(folder: &Folder) -> Vec<LogFile> {
    let files = folder.list().map(|listing| listing.files);
    let names = files.unwrap_or_default().into_iter();
    names
        .filter(|name| name.kind == Kind::Log)
        .filter_map(|name| {
            let found = fs::metadata(folder.path(&name)).ok()?;
            Some(LogFile {
                name,
                bytes: found.len(),
                written: found.modified().ok()?,
            })
        })
        .collect()
}

/// Between the time that a firewall gives a change and ours: clocks differ, but not by more.
pub(super) const CLOCKS_DIFFER: Duration = Duration::from_secs(86_400);
