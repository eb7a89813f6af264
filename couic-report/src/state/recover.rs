//! Recovers the state: the newest readable snapshot, and every log after it.
//!
//! Damage does not prevent a start: the readable part counts, losses are reported with the name of the file, and the file
//! is set aside once new ones replace it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use couic_common::counted;
use couic_durable::{Folder, Kind, LockError, Scanned};
use uuid::Uuid;

use super::{
    ledger::Ledger,
    old,
    store::{self, FORMAT, StateFile, Store},
};
use crate::{
    codec::Take,
    history::{Archive, Books},
};

/// The first format whose snapshots have a second record, the figures of the history.
const HISTORY: u32 = 3;

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder or a file in it cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// Another couic-report uses it.
    #[error("{} is in use by another couic-report: stop it, or give this one its own STATE_DIRECTORY", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The state was written by another version.
    #[error("{} was written by another version of couic-report (format {version}, this one reads 1 to 3): use that version, or move the file away and lose its reports", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
}

/// The recovered state.
pub(super) struct Recovered {
    pub(super) ledger: Ledger,
    pub(super) store: Store,
    /// Held while the state is used.
    pub(super) lock: File,
    /// Messages about damage and losses, for the log.
    pub(super) damage: Vec<String>,
}

/// Opens the folder, creates it if it is missing, and starts a new generation with the recovered state.
pub(super) fn open(dir: &Path, now: u64, archive: Archive) -> Result<Recovered, StateError> {
    let io = |source| StateError::Io {
        path: dir.to_owned(),
        source,
    };
    let folder = Folder::new(dir, FORMAT);
    let lock = folder.lock().map_err(|error| match error {
        LockError::InUse => StateError::InUse {
            path: dir.to_owned(),
        },
        LockError::Io(source) => io(source),
    })?;
    let (files, _) = store::list(&folder).map_err(io)?;
    let mut reader = Reader {
        folder: &folder,
        damage: Vec::new(),
        damaged: Vec::new(),
    };
    let (generation, mut ledger) = reader
        .newest_snapshot(&files)?
        .unwrap_or_else(|| (0, Ledger::new(Uuid::new_v4(), now)));
    let is_behind = |file: &&StateFile| file.kind() == Kind::Log && file.generation() >= generation;
    for log in files.iter().filter(is_behind) {
        reader.replay(*log, &mut ledger)?;
    }
    let Reader {
        damage, damaged, ..
    } = reader;
    let next = files.last().map_or(1, |newest| newest.generation() + 1);
    let store = Store::begin(folder, archive, next, generation, damaged, &ledger).map_err(io)?;
    Ok(Recovered {
        ledger,
        store,
        lock,
        damage,
    })
}

struct Reader<'a> {
    folder: &'a Folder,
    damage: Vec<String>,
    damaged: Vec<StateFile>,
}

impl Reader<'_> {
    /// The newest readable snapshot.
    fn newest_snapshot(
        &mut self,
        files: &[StateFile],
    ) -> Result<Option<(u64, Ledger)>, StateError> {
        let snapshots = files
            .iter()
            .rev()
            .filter(|file| file.kind() == Kind::Snapshot);
        let mut half = None;
        for file in snapshots {
            let mut found: Option<Ledger> = None;
            let scanned = self.read(*file, |payload| {
                let mut payload = Take(payload);
                let Some(ledger) = &found else {
                    found = Ledger::decode(&mut payload).ok();
                    return found.is_some();
                };
                // The second record, since format 3.
                let books = Books::decode(&mut payload);
                let is_valid = books.is_ok();
                *ledger.books.lock() = books.unwrap_or_default();
                is_valid
            })?;
            // The figures of the history are lost: an older snapshot and one more log have them.
            let has_history = matches!(file, StateFile::New(_))
                && scanned.version.is_none_or(|version| version >= HISTORY);
            let is_half = scanned.records < 2 && (has_history || !scanned.is_sound());
            if found.is_none() || is_half {
                self.is_damaged(*file, "is damaged: an older one is used");
                half = half.or(found.map(|ledger| (file.generation(), ledger)));
                continue;
            }
            if !scanned.is_sound() {
                self.is_damaged(*file, &scanned.damage("count"));
            }
            if let Some(ledger) = found {
                return Ok(Some((file.generation(), ledger)));
            }
        }
        Ok(half)
    }

    /// Applies the valid records of a log.
    fn replay(&mut self, file: StateFile, ledger: &mut Ledger) -> Result<(), StateError> {
        let scanned = self.read(file, |payload| ledger.apply(payload).is_ok())?;
        if !scanned.is_sound() {
            self.is_damaged(file, &scanned.damage("count"));
        }
        if scanned.torn > 0 {
            self.damage.push(format!(
                "{}: {} ignored at the end: an incomplete record from a crash, whose sender was not answered, \
                 or damage by the disk",
                self.folder.path(&file).display(),
                counted(scanned.torn, "byte is", "bytes are")
            ));
        }
        Ok(())
    }

    fn is_damaged(&mut self, file: StateFile, what: &str) {
        let path = self.folder.path(&file);
        self.damage.push(format!("{} {what}", path.display()));
        self.damaged.push(file);
    }

    fn read(
        &self,
        file: StateFile,
        each: impl FnMut(&[u8]) -> bool,
    ) -> Result<Scanned, StateError> {
        let path = self.folder.path(&file);
        let scanned = match file {
            StateFile::New(name) => self.folder.read(&name, each),
            StateFile::Old(kind, generation) => {
                fs::read(&path).map(|bytes| old::read(&bytes, kind, generation, each))
            }
        };
        match scanned {
            Ok(Scanned {
                newer: Some(version),
                ..
            }) => Err(StateError::Version { path, version }),
            Ok(scanned) => Ok(scanned),
            Err(source) => Err(StateError::Io { path, source }),
        }
    }
}
