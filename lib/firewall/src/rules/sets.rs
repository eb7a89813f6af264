//! Set files: `sets/{drop,ignore}/NAME.couic` below the working directory.
//!
//! Files are replaced whole (written aside, synced, renamed), so that a reader or a crash never meets half a set.
//! They belong to whom the working directory belongs. All calls block on the disk.

mod folders;
mod read;

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use couic_common::{Cidr, Policy, SetName, SetSummary};
use parking_lot::Mutex;
use tempfile::NamedTempFile;

pub(super) use self::folders::sync_folder;
use self::folders::{give_to_owner_of, make_dir, remove_half_written};
use super::{set_error::SetError, setfile::write_set};
use crate::dataplane::Limits;
use couic_files::refuses_data;

/// The largest set file, bytes.
pub const MAX_SET_FILE: u64 = 5 * 1024 * 1024;

/// The prefix of temporary files.
const HALF_WRITTEN: &str = ".new-";

/// The folders of set files.
#[derive(Clone, Debug)]
pub struct SetStore {
    root: PathBuf,
    limits: Limits,
    /// Claim by who changes files or puts them in force, so that the older of two reloads never wins.
    pub(super) turn: Arc<Mutex<()>>,
}

impl SetStore {
    /// Creates missing folders, and removes files that a crash left incomplete. If the disk takes no data they stay as
    /// they are; loading sets then finds the problem.
    ///
    /// # Errors
    /// The system's error, with the path.
    pub fn open(working_dir: &Path) -> io::Result<Self> {
        let store = Self {
            root: working_dir.join("sets"),
            limits: Limits::default(),
            turn: Arc::default(),
        };
        match store.prepare() {
            Err(error) if !refuses_data(&error) => Err(error),
            _ => Ok(store),
        }
    }

    fn prepare(&self) -> io::Result<()> {
        make_dir(&self.root)?;
        for policy in Policy::ALL {
            make_dir(&self.folder(policy))?;
            remove_half_written(&self.folder(policy))?;
        }
        Ok(())
    }

    /// Loads no more than rules with these limits can be: both families full, and every entry in two sets.
    #[must_use]
    pub fn for_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// How many entries of a policy's sets are loaded into memory at most.
    pub(super) fn most(&self, policy: Policy) -> usize {
        self.limits.of(policy).saturating_mul(4)
    }

    pub(super) fn folder(&self, policy: Policy) -> PathBuf {
        self.root.join(policy.as_str())
    }

    pub(super) fn path(&self, policy: Policy, name: &SetName) -> PathBuf {
        self.folder(policy).join(file_name(name))
    }

    /// Writes a new set.
    ///
    /// # Errors
    /// `Exists`, `TooLarge`, `Io`; nothing has changed then.
    pub fn create(
        &self,
        policy: Policy,
        name: &SetName,
        entries: &[Cidr],
    ) -> Result<SetSummary, SetError> {
        self.write(policy, name, entries, |file, path| {
            file.persist_noclobber(path)
                .map_err(|error| match error.error.kind() {
                    ErrorKind::AlreadyExists => SetError::Exists {
                        policy,
                        name: name.clone(),
                    },
                    _ => SetError::Io {
                        path: path.to_owned(),
                        source: error.error,
                    },
                })
        })
    }

    /// Writes a set anew.
    ///
    /// # Errors
    /// `NotFound`, `TooLarge`, `Io`; nothing has changed then.
    pub fn replace(
        &self,
        policy: Policy,
        name: &SetName,
        entries: &[Cidr],
    ) -> Result<SetSummary, SetError> {
        if fs::symlink_metadata(self.path(policy, name)).is_err() {
            return Err(SetError::NotFound {
                policy,
                name: name.clone(),
            });
        }
        self.write(policy, name, entries, |file, path| {
            file.persist(path).map_err(|error| SetError::Io {
                path: path.to_owned(),
                source: error.error,
            })
        })
    }

    fn write(
        &self,
        policy: Policy,
        name: &SetName,
        entries: &[Cidr],
        persist: impl FnOnce(NamedTempFile, &Path) -> Result<File, SetError>,
    ) -> Result<SetSummary, SetError> {
        let mut entries = entries.to_vec();
        entries.sort_unstable();
        entries.dedup();
        let text = write_set(&entries);
        check_size(policy, name, text.len() as u64)?;
        self.write_text(policy, name, text.as_bytes(), persist)?;
        Ok(SetSummary {
            name: name.clone(),
            entry_count: entries.len() as u64,
            file_size: text.len() as u64,
        })
    }

    pub(super) fn write_text(
        &self,
        policy: Policy,
        name: &SetName,
        text: &[u8],
        persist: impl FnOnce(NamedTempFile, &Path) -> Result<File, SetError>,
    ) -> Result<(), SetError> {
        let (folder, path) = (self.folder(policy), self.path(policy, name));
        let io_error = |source| SetError::Io {
            path: path.clone(),
            source,
        };
        let mut aside = tempfile::Builder::new()
            .prefix(HALF_WRITTEN)
            .permissions(Permissions::from_mode(0o640))
            .tempfile_in(&folder)
            .map_err(io_error)?;
        aside.write_all(text).map_err(io_error)?;
        give_to_owner_of(&folder, aside.path()).map_err(io_error)?;
        aside.as_file().sync_all().map_err(io_error)?;
        persist(aside, &path)?;
        sync_folder(&folder).map_err(io_error)
    }

    /// Removes a set's file.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    pub fn delete(&self, policy: Policy, name: &SetName) -> Result<(), SetError> {
        let path = self.path(policy, name);
        match fs::remove_file(&path).and_then(|()| sync_folder(&self.folder(policy))) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(SetError::NotFound {
                policy,
                name: name.clone(),
            }),
            other => other.map_err(|source| SetError::Io { path, source }),
        }
    }
}

pub(super) fn file_name(name: &SetName) -> String {
    format!("{name}.couic")
}

fn check_size(policy: Policy, name: &SetName, size: u64) -> Result<(), SetError> {
    if size <= MAX_SET_FILE {
        return Ok(());
    }
    Err(SetError::TooLarge {
        policy,
        file: file_name(name),
        size,
    })
}
