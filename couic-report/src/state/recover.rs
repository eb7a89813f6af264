//! Finding the state again: the newest snapshot that is whole, and every journal behind it.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::{
    frame::{self, HeadError, Kind},
    ledger::Ledger,
    store::{self, Store},
};
use crate::codec::Take;

/// Why there is no state to work with.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder or a file in it cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another couic-report works with it.
    #[error("{} is in use by another couic-report: stop it, or give this one its own STATE_DIRECTORY", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The state was written by another version.
    #[error("{} was written by another version of couic-report (format {version}, this one reads 1): use that version, or move the file away and lose the figures in it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u8,
    },
}

/// What was found.
pub(super) struct Recovered {
    pub(super) ledger: Ledger,
    pub(super) store: Store,
    /// Held as long as the state is used.
    pub(super) lock: File,
    /// What was wrong, for the log: what is missing because of it, if anything.
    pub(super) damage: Vec<String>,
}

/// Opens the folder, makes it where it is missing, and begins a new generation with what was found in it.
pub(super) fn open(dir: &Path, now: u64) -> Result<Recovered, StateError> {
    let io = |source| StateError::Io {
        path: dir.to_owned(),
        source,
    };
    fs::create_dir_all(dir).map_err(io)?;
    let lock = lock(dir)?;
    let files = store::list(dir).map_err(io)?;
    let mut damage = Vec::new();
    let (generation, mut ledger) = newest_snapshot(dir, &files, &mut damage)?
        .unwrap_or_else(|| (0, Ledger::new(Uuid::new_v4(), now)));
    let journals = files
        .iter()
        .filter(|(kind, g)| *kind == Kind::Journal && *g >= generation);
    for (_, journal) in journals {
        replay(dir, *journal, &mut ledger, &mut damage)?;
    }
    let next = files.last().map_or(1, |(_, newest)| newest + 1);
    let store = Store::begin(dir, next, generation, &ledger).map_err(io)?;
    Ok(Recovered {
        ledger,
        store,
        lock,
        damage,
    })
}

fn lock(dir: &Path) -> Result<File, StateError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|source| StateError::Io {
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse {
            path: dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(StateError::Io { path, source }),
    }
}

/// The newest snapshot that can be read. One that is damaged is set aside and named.
fn newest_snapshot(
    dir: &Path,
    files: &[(Kind, u64)],
    damage: &mut Vec<String>,
) -> Result<Option<(u64, Ledger)>, StateError> {
    let snapshots = files
        .iter()
        .rev()
        .filter(|(kind, _)| *kind == Kind::Snapshot);
    for (_, generation) in snapshots {
        let path = store::path(dir, Kind::Snapshot, *generation);
        let bytes = read(&path)?;
        let body = match frame::body(Kind::Snapshot, *generation, &bytes) {
            Ok(body) => Some(body),
            Err(HeadError::Torn) => None,
            Err(HeadError::Version(version)) => return Err(StateError::Version { path, version }),
        };
        let payload = body.and_then(|body| frame::frames(body).next());
        if let Some(Ok(ledger)) = payload.map(|(p, _)| Ledger::decode(&mut Take(p))) {
            return Ok(Some((*generation, ledger)));
        }
        let aside = path.with_extension(format!("{generation}.damaged"));
        damage.push(format!(
            "{} is damaged: set aside as {}, an older one is used",
            path.display(),
            aside.display()
        ));
        fs::rename(&path, &aside).map_err(|source| StateError::Io { path, source })?;
    }
    Ok(None)
}

/// Applies what is whole in a journal. A torn end is what a crash leaves of a record that was never acknowledged.
fn replay(
    dir: &Path,
    generation: u64,
    ledger: &mut Ledger,
    damage: &mut Vec<String>,
) -> Result<(), StateError> {
    let path = store::path(dir, Kind::Journal, generation);
    let bytes = read(&path)?;
    let body = match frame::body(Kind::Journal, generation, &bytes) {
        Ok(body) => body,
        Err(HeadError::Torn) => return Ok(()),
        Err(HeadError::Version(version)) => return Err(StateError::Version { path, version }),
    };
    let mut whole = 0;
    for (payload, end) in frame::frames(body) {
        if ledger.apply(payload).is_err() {
            damage.push(format!("{}: a record makes no sense", path.display()));
        }
        whole = end;
    }
    if whole < body.len() {
        damage.push(format!(
            "{}: {} bytes at the end are left out: a record that was being written in a crash, which nobody was told \
             was accepted, or damage by the disk",
            path.display(),
            body.len() - whole
        ));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, StateError> {
    fs::read(path).map_err(|source| StateError::Io {
        path: path.to_owned(),
        source,
    })
}
