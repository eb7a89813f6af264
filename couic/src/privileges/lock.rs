//! One daemon for each working directory, by `flock(2)`: the lock ends with the process, however it ends.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    unistd::geteuid,
};

use crate::config::Owner;

/// Its name in the working directory. It stays there; only the lock on it counts.
const NAME: &str = "couic.lock";

/// The working directory could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon works with it.
    #[error(
        "another couic{} works with this working_dir: stop it first, or give this one a working_dir of its own",
        pid.as_ref().map(|p| format!(" (process {p})")).unwrap_or_default()
    )]
    Running {
        /// Its process, where it said so.
        pid: Option<u32>,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The claim. Ends when it is dropped.
#[derive(Debug)]
pub struct WorkLock(#[expect(dead_code, reason = "held, not read")] Flock<File>);

impl WorkLock {
    /// Claims the working directory for this process.
    ///
    /// # Errors
    /// [`LockError::Running`] where another daemon has it.
    pub fn take(working_dir: &Path, owner: &Owner) -> Result<Self, LockError> {
        let path = working_dir.join(NAME);
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(failed)?;
        if geteuid().is_root() {
            fchown(&file, Some(owner.uid), Some(owner.gid)).map_err(failed)?;
        }
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                lock.set_len(0).map_err(failed)?;
                lock.rewind().map_err(failed)?;
                writeln!(lock, "{}", std::process::id()).map_err(failed)?;
                Ok(Self(lock))
            }
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                let pid = file
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| text.trim().parse().ok());
                Err(LockError::Running { pid })
            }
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::getegid;

    use super::*;

    fn owner() -> Owner {
        Owner {
            user: String::new(),
            group: String::new(),
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
        }
    }

    #[test]
    fn one_at_a_time_and_the_second_learns_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = WorkLock::take(dir.path(), &owner()).unwrap();
        let told = WorkLock::take(dir.path(), &owner())
            .unwrap_err()
            .to_string();
        let pid = std::process::id();
        assert!(
            told.starts_with(&format!("another couic (process {pid}) works with")),
            "{told}"
        );
        drop(first);
        WorkLock::take(dir.path(), &owner()).unwrap();
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join(NAME)).unwrap();
        let told = WorkLock::take(dir.path(), &owner())
            .unwrap_err()
            .to_string();
        assert!(
            told.starts_with("cannot lock ") && told.contains(NAME),
            "{told}"
        );
    }
}
