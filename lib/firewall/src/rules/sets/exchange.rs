//! A set's file and what follows from it change together, or neither does.

use std::{
    fs,
    io::{self, ErrorKind},
};

use couic_common::{Cidr, Policy, SetName, SetSummary};
use tempfile::{NamedTempFile, TempPath};

use super::{HALF_WRITTEN, SetStore, file_name, sorted};
use crate::rules::{set_error::SetError, setfile::write_entries};

/// A set's file that is not in its place yet.
#[derive(Debug)]
pub struct NewFile {
    aside: NamedTempFile,
    /// What is in it.
    pub summary: SetSummary,
}

/// What a change of a set takes for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: a set is created, or replaced.
    Either,
    /// There is such a set.
    There,
    /// There is none.
    Missing,
}

impl SetStore {
    /// Writes a set's new file beside the present one: on the disk, and gone when this is dropped.
    ///
    /// # Errors
    /// `TooLarge`, `Io`.
    pub fn new_file(
        &self,
        policy: Policy,
        name: &SetName,
        entries: &[Cidr],
    ) -> Result<NewFile, SetError> {
        let entries = sorted(entries);
        let staged = self.stage(policy, name, |file| write_entries(&entries, file))?;
        let summary = staged.summary(name, entries.len());
        let aside = staged.aside;
        Ok(NewFile { aside, summary })
    }

    /// Puts a set's new file in place (None = removes the file), then does `follow`. If that fails, the former file is back
    /// when this returns, as it was. Hold [`SetStore::turn`].
    ///
    /// Whenever the process dies, one of both files is whole in its place, and the next start loads what it says: the file
    /// is the truth.
    ///
    /// # Errors
    /// `Io`, or that of `follow`: nothing has changed then.
    pub(in crate::rules) fn exchange<T, E: From<SetError>>(
        &self,
        policy: Policy,
        name: &SetName,
        new: Option<NewFile>,
        follow: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let path = self.path(policy, name);
        let io_error = |source| SetError::Io {
            path: path.clone(),
            source,
        };
        let former = self.keep(policy, name).map_err(io_error)?;
        let placed = match new {
            Some(new) => {
                let placed = new.aside.persist(&path);
                placed.map(drop).map_err(|e| e.error)
            }
            None if former.is_some() => fs::remove_file(&path),
            None => Ok(()),
        };
        let placed = placed.map_err(io_error).and_then(|()| self.sync(policy));
        let followed = placed.map_err(E::from).and_then(|()| follow());
        if followed.is_err() {
            self.restore(policy, name, former);
        }
        followed
    }

    /// Whether a start loads a set of so many entries, if there is no other.
    ///
    /// # Errors
    /// `TooMany`.
    pub fn check_count(
        &self,
        policy: Policy,
        name: &SetName,
        entries: usize,
    ) -> Result<(), SetError> {
        let most = self.most(policy);
        if entries <= most {
            return Ok(());
        }
        let file = file_name(name);
        Err(SetError::TooMany { policy, file, most })
    }

    /// Whether a set is there as it is expected to be. Hold [`SetStore::turn`].
    ///
    /// # Errors
    /// `Exists`, `NotFound`.
    pub fn check_there(
        &self,
        policy: Policy,
        name: &SetName,
        expected: Expected,
    ) -> Result<bool, SetError> {
        let is_there = fs::symlink_metadata(self.path(policy, name)).is_ok();
        match expected {
            Expected::There if !is_there => Err(SetError::NotFound {
                policy,
                name: name.clone(),
            }),
            Expected::Missing if is_there => Err(SetError::Exists {
                policy,
                name: name.clone(),
            }),
            _ => Ok(is_there),
        }
    }

    /// A second name of the present file, if there is one, which is gone when this is dropped.
    fn keep(&self, policy: Policy, name: &SetName) -> io::Result<Option<TempPath>> {
        let path = self.path(policy, name);
        let beside = self.folder(policy).join(format!("{HALF_WRITTEN}former"));
        // Of a change that could not clean up.
        let _ = fs::remove_file(&beside);
        match fs::hard_link(&path, &beside) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // Not all file systems have links, and the kernel grants none to files of others.
            Err(_) => fs::copy(&path, &beside).map(drop)?,
            Ok(()) => {}
        }
        TempPath::try_from_path(beside).map(Some)
    }

    fn restore(&self, policy: Policy, name: &SetName, former: Option<TempPath>) {
        let path = self.path(policy, name);
        let restored = match former {
            Some(former) => former.persist(&path).map_err(|e| e.error),
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        let restored = restored.and_then(|()| super::sync_folder(&self.folder(policy)));
        if let Err(error) = restored {
            let file = path.display();
            tracing::error!(
                "{file} has the entries of a change that failed, and the rules have the former ones, since it could not be put back: {error}"
            );
        }
    }
}
