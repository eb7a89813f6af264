//! Opening and locking a lock file, or what is locked instead.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::Path,
};

use couic_files::{Account, Standing, give_to, open_own, refuses_data};

/// Directories of ours, of which one is locked on a disk that takes no lock file.
const PRIVATE: [&str; 4] = [".", "rbac/clients", "rbac", "state"];

/// More replacements of a lock file than any start sees.
const REPLACED: usize = 8;

/// The state of a lock file.
pub(super) enum Opened {
    Locked(File),
    /// Another process has the lock.
    Busy(File),
    /// It is missing, and the disk is not writable.
    NoFile,
}

/// Opens and locks a lock file. Nothing is written to it, and its owner is not changed, before it is locked. One with a
/// second name is replaced.
pub(super) fn locked(path: &Path, owner: &Account) -> io::Result<Opened> {
    for _ in 0..REPLACED {
        let Some((file, is_writable)) = open(path)? else {
            return Ok(Opened::NoFile);
        };
        if !is_writable && !is_private(&file, owner)? {
            return Ok(Opened::NoFile);
        }
        if !try_lock(&file)? {
            return Ok(Opened::Busy(file));
        }
        if !is_writable {
            return Ok(Opened::Locked(file));
        }
        if give_to(&file, owner)? == Standing::Linked {
            fs::remove_file(path)?;
        } else if is_at(&file, path) {
            // It fails on one of another user, which root has made writable on purpose.
            let _ = file.set_permissions(Permissions::from_mode(0o600));
            return Ok(Opened::Locked(file));
        }
    }
    Err(io::Error::other("it is replaced all the time"))
}

/// Whether the path still names this file: another start may have replaced it before it was locked.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    let here = fs::symlink_metadata(path).map(identity).ok();
    here.is_some() && here == file.metadata().map(identity).ok()
}

/// Whether no user but root and the owner can open it, and so lock it.
fn is_private(file: &File, owner: &Account) -> io::Result<bool> {
    let found = file.metadata()?;
    let is_ours = [0, owner.uid].contains(&found.uid());
    Ok(is_ours && found.mode() & 0o066 == 0)
}

/// The directory that is locked if there is no lock file: the same one for each daemon, since nothing changes on a disk that
/// is not writable.
pub(super) fn private_dir(working_dir: &Path, owner: &Account) -> Option<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECTORY);
    PRIVATE.into_iter().find_map(|name| {
        let dir = options.open(working_dir.join(name)).ok()?;
        is_private(&dir, owner).ok()?.then_some(dir)
    })
}

/// Whether the lock was acquired.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: no pointers are passed.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(false),
        _ => Err(error),
    }
}

/// The file, created if it is missing, and whether it is open for writing. `None` if it is missing and the disk is not
/// writable.
fn open(path: &Path) -> io::Result<Option<(File, bool)>> {
    let mut options = OpenOptions::new();
    options.read(true).mode(0o600);
    let mut writing = options.clone();
    match open_own(path, writing.write(true).create(true).truncate(false)) {
        Ok(file) => Ok(Some((file, true))),
        Err(error) if refuses_data(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
            match open_own(path, &mut options) {
                Ok(file) => Ok(Some((file, false))),
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(_) => Err(error),
            }
        }
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            let text = "it is a symbolic link, which is not followed: remove it";
            Err(io::Error::new(error.kind(), text))
        }
        Err(error) => Err(error),
    }
}
