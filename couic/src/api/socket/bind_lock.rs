//! Two daemons that start at the same time must not remove each other's socket as stale. They are kept apart by a file beside
//! the socket, which exists for that moment only.
//!
//! It has mode 0600: a lock on what other users can open would let them decide who starts. A file of another user under
//! that name decides nothing either: the start goes on without the lock.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use couic_files::{Account, open_own};
use nix::unistd::geteuid;

use super::{SocketError, failed};

/// More replacements than starts at the same time.
const REPLACED: usize = 8;

/// Held while a socket is bound; the file is removed when this is dropped.
#[derive(Debug)]
pub(super) struct BindLock {
    path: PathBuf,
    _file: File,
}

impl BindLock {
    /// The lock of the socket at `socket`. `None` if its name is taken by another user, or the directory takes no file.
    ///
    /// # Errors
    /// [`SocketError::InUse`] while another daemon of ours binds that socket.
    pub(super) fn acquire(socket: &Path, owner: &Account) -> Result<Option<Self>, SocketError> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        for _ in 0..REPLACED {
            let mut options = OpenOptions::new();
            options.write(true).create(true).mode(0o600);
            let Ok(file) = open_own(&path, &mut options) else {
                return Ok(None);
            };
            if !is_ours(&file, owner).map_err(failed("stat", &path))? {
                return Ok(None);
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let path = socket.to_owned();
                    return Err(SocketError::InUse { path });
                }
                Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
            }
            // The daemon that had it may have removed it before it was locked here.
            let here = fs::symlink_metadata(&path).map(|found| (found.dev(), found.ino()));
            let ours = file.metadata().map(|found| (found.dev(), found.ino()));
            if here.ok() == ours.ok() {
                return Ok(Some(Self { path, _file: file }));
            }
        }
        Ok(None)
    }
}

/// Whether no other user can open it.
fn is_ours(file: &File, owner: &Account) -> io::Result<bool> {
    let found = file.metadata()?;
    let users = [0, owner.uid, geteuid().as_raw()];
    Ok(found.is_file() && users.contains(&found.uid()) && found.mode() & 0o066 == 0)
}

impl Drop for BindLock {
    fn drop(&mut self) {
        // If it stays, the next start uses it.
        let _ = fs::remove_file(&self.path);
    }
}
