//! Set files: `sets/{drop,ignore}/NAME.couic` below the working directory.
//!
//! Files are replaced whole (written aside, synced, renamed), so that a reader or a crash never meets half a set.
//! They belong to whom the working directory belongs. All calls block on the disk.

mod exchange;
mod folders;
mod read;

use std::{
    borrow::Cow,
    fs::{self, File, Permissions},
    io::{self, BufWriter, ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use couic_common::{Cidr, Policy, SetName, SetSummary};
use parking_lot::Mutex;
use tempfile::NamedTempFile;

pub use self::exchange::{Expected, NewFile};
pub(super) use self::folders::sync_folder;
use self::folders::{give_to_owner_of, make_dir, remove_half_written};
use super::{set_error::SetError, setfile::write_entries};
use crate::dataplane::Limits;
use couic_files::refuses_data;

/// The largest set file, bytes: read whole, it is in memory for a moment. How many entries are loaded is bounded by the
/// places for rules.
pub const MAX_SET_FILE: u64 = 256 * 1024 * 1024;

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

    /// How many entries of a policy's sets are loaded at most.
    #[must_use]
    pub fn most(&self, policy: Policy) -> usize {
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
        self.check_there(policy, name, Expected::There)?;
        self.put(policy, name, entries)
    }

    /// Writes a set, whether there is one of that name or not.
    ///
    /// # Errors
    /// `TooLarge`, `Io`; nothing has changed then.
    pub fn put(
        &self,
        policy: Policy,
        name: &SetName,
        entries: &[Cidr],
    ) -> Result<SetSummary, SetError> {
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
        let entries = sorted(entries);
        let staged = self.stage(policy, name, |file| write_entries(&entries, file))?;
        let summary = staged.summary(name, entries.len());
        persist(staged.aside, &self.path(policy, name))?;
        self.sync(policy)?;
        Ok(summary)
    }

    pub(super) fn write_text(
        &self,
        policy: Policy,
        name: &SetName,
        text: &[u8],
        persist: impl FnOnce(NamedTempFile, &Path) -> Result<File, SetError>,
    ) -> Result<(), SetError> {
        let staged = self.stage(policy, name, |file| file.write_all(text))?;
        persist(staged.aside, &self.path(policy, name))?;
        self.sync(policy)
    }

    /// Writes a set's new file beside the present one. It is on the disk, and gone when this is dropped.
    fn stage(
        &self,
        policy: Policy,
        name: &SetName,
        write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
    ) -> Result<Staged, SetError> {
        let folder = self.folder(policy);
        let staged = || {
            let aside = tempfile::Builder::new()
                .prefix(HALF_WRITTEN)
                .permissions(Permissions::from_mode(0o640))
                .tempfile_in(&folder)?;
            let mut file = BufWriter::new(aside.as_file());
            write(&mut file)?;
            file.flush()?;
            drop(file);
            give_to_owner_of(&folder, aside.path())?;
            aside.as_file().sync_all()?;
            let size = aside.as_file().metadata()?.len();
            Ok(Staged { aside, size })
        };
        let staged = staged().map_err(|source| SetError::Io {
            path: self.path(policy, name),
            source,
        })?;
        check_size(policy, name, staged.size)?;
        Ok(staged)
    }

    /// Waits until changes of file names are on the disk.
    fn sync(&self, policy: Policy) -> Result<(), SetError> {
        let path = self.folder(policy);
        sync_folder(&path).map_err(|source| SetError::Io { path, source })
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

/// A set's file that is not in its place yet.
struct Staged {
    aside: NamedTempFile,
    size: u64,
}

impl Staged {
    fn summary(&self, name: &SetName, entries: usize) -> SetSummary {
        SetSummary {
            name: name.clone(),
            entry_count: entries as u64,
            file_size: self.size,
        }
    }
}

/// The entries in order, each once: not copied if they are so already.
fn sorted(entries: &[Cidr]) -> Cow<'_, [Cidr]> {
    if entries.is_sorted_by(|a, b| a < b) {
        return Cow::Borrowed(entries);
    }
    let mut entries = entries.to_vec();
    entries.sort_unstable();
    entries.dedup();
    Cow::Owned(entries)
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
