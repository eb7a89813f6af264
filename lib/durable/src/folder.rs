//! The directory of a log.

use std::{
    fmt::Display,
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use couic_files::{create_new, ensure_dir, open_own};

use crate::{FileSystem, Format, Kind, Medium, Name, name::damaged_name};

/// How many damaged files are kept. Damage at every start must not fill the disk with them.
const MOST_KEPT: usize = 16;

/// A file that another user could have written, and the command that repairs it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct Untrusted {
    /// The file.
    pub path: PathBuf,
    /// The problem and its remedy.
    pub problem: String,
}

/// Why a folder cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process uses it.
    #[error("another process uses it")]
    InUse,
    /// The file system reported an error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The directory of a log.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    format: Format,
    medium: Arc<dyn Medium>,
}

/// The content of a folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// Segments and snapshots, in reading order.
    pub files: Vec<Name>,
    /// Damaged files that were set aside, the oldest first.
    pub kept: Vec<String>,
}

impl Folder {
    /// Does not access the directory yet.
    #[must_use]
    pub fn new(path: &Path, format: Format) -> Self {
        Self::on(path, format, Arc::new(FileSystem))
    }

    /// The same, written through `medium`.
    #[must_use]
    pub fn on(path: &Path, format: Format, medium: Arc<dyn Medium>) -> Self {
        Self {
            path: path.to_owned(),
            format,
            medium,
        }
    }

    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn medium(&self) -> Arc<dyn Medium> {
        Arc::clone(&self.medium)
    }

    pub(crate) fn name(&self, number: u64, kind: Kind) -> Name {
        Name::new(self.format.prefix, number, kind)
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.path
    }

    /// The path of a file.
    #[must_use]
    pub fn path(&self, name: &dyn Display) -> PathBuf {
        self.path.join(name.to_string())
    }

    /// Creates the directory if it is missing. Refuses one that other users may write to.
    ///
    /// # Errors
    /// The system's error; `PermissionDenied` with the command that repairs the directory.
    pub fn ensure(&self) -> io::Result<()> {
        ensure_dir(&self.path, 0o700)
    }

    /// Creates the directory, with those above it, if it is missing, and locks it for this process until the returned
    /// file is dropped.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn lock(&self) -> Result<File, LockError> {
        if !fs::exists(&self.path)? {
            (DirBuilder::new().recursive(true).mode(0o700)).create(&self.path)?;
        }
        let path = self.path(&"lock");
        let file = match create_new(&path, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                open_own(&path, File::options().write(true))?
            }
            created => created?,
        };
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Lists the files. Removes temporary files left by a crash.
    ///
    /// # Errors
    /// The system's error.
    pub fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        let prefix = self.format.prefix;
        for entry in fs::read_dir(&self.path)? {
            let Ok(text) = entry?.file_name().into_string() else {
                continue;
            };
            let is_ours = text
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with('-'));
            if let Some(name) = Name::parse(prefix, &text) {
                listing.files.push(name);
            } else if is_ours && text.contains(".damaged-") {
                listing.kept.push(text);
            } else if is_ours && text.ends_with(".tmp") {
                // On error it stays, and is never read.
                fs::remove_file(self.path(&text)).ok();
            }
        }
        listing.files.sort_unstable();
        listing.kept.sort_unstable();
        Ok(listing)
    }

    /// Refuses files that another user could have written or may read.
    ///
    /// # Errors
    /// The first such file.
    pub fn check(&self, files: &[Name]) -> Result<(), Untrusted> {
        if files.is_empty() {
            // On a failing disk the directory may be missing.
            return Ok(());
        }
        let owner = stat(&self.path)?.uid();
        for name in files {
            self.check_file(self.path(name), owner)?;
        }
        Ok(())
    }

    fn check_file(&self, path: PathBuf, owner: u32) -> Result<(), Untrusted> {
        let found = stat(&path)?;
        let shown = path.display();
        let problem = if !found.is_file() {
            "it is not a file: move it away".to_owned()
        } else if found.uid() != owner {
            format!(
                "it does not belong to the owner of its directory: run chown --reference={} {shown}",
                self.path.display()
            )
        } else if found.mode() & 0o077 != 0 {
            format!("other users have access to it: run chmod 0600 {shown}")
        } else {
            return Ok(());
        };
        Err(Untrusted { path, problem })
    }

    /// Syncs the directory, so that names survive a power cut.
    ///
    /// # Errors
    /// The system's error.
    pub fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(&from), self.path(&to))
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// The system's error.
    pub fn remove(&self, name: &dyn Display) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Renames a damaged file, so that it is kept but never read. Returns the new name, unless the file is gone.
    ///
    /// # Errors
    /// The system's error.
    pub fn set_aside(&self, name: &dyn Display) -> io::Result<Option<String>> {
        let name = name.to_string();
        let kept = damaged_name(&name);
        match self.rename(&name, &kept) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            renamed => renamed.map(|()| Some(kept)),
        }
    }

    /// Removes an obsolete file. A damaged one is set aside instead, see [`Folder::set_aside`].
    ///
    /// # Errors
    /// The system's error.
    pub fn retire(&self, name: &dyn Display, is_damaged: bool) -> io::Result<Option<String>> {
        if is_damaged {
            return self.set_aside(name);
        }
        self.remove(name).map(|()| None)
    }

    /// Whether there is a file of this name; true on error.
    #[must_use]
    pub fn exists(&self, name: &str) -> bool {
        fs::exists(self.path(&name)).unwrap_or(true)
    }

    /// Removes the oldest of the files that were set aside, beyond a limit. Returns their names.
    pub fn forget_oldest(&self, kept: &mut Vec<String>) -> Vec<String> {
        let beyond = kept.len().saturating_sub(MOST_KEPT);
        let gone: Vec<String> = kept.drain(..beyond).collect();
        gone.into_iter()
            .filter(|name| self.remove(name).is_ok())
            .collect()
    }
}

fn stat(path: &Path) -> Result<fs::Metadata, Untrusted> {
    fs::symlink_metadata(path).map_err(|error| Untrusted {
        path: path.to_owned(),
        problem: format!("cannot stat it: {error}"),
    })
}

#[cfg(test)]
mod tests;
