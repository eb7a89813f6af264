//! One daemon for each working directory, by `flock(2)`: the lock ends with the process, however it ends.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::{OpenOptionsExt, fchown},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    unistd::geteuid,
};

use crate::config::Owner;

/// Its name in the working directory. It stays there; only the lock on it counts.
const NAME: &str = "couic.lock";

/// The keeper's, likewise.
const KEEPER: &str = "keeper.lock";

/// How long the keeper of a daemon that has ended may take to end, too.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// The keeper of a daemon before this one still runs.
    #[error(
        "the keeper of a couic that has ended still works for this working_dir: look for `couic filter-keeper` with ps, and kill it"
    )]
    Keeper,
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
        let file = open(&path, owner).map_err(failed)?;
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

/// The claim on being the one keeper of a working directory. It holds while anybody has this descriptor, so it is
/// handed to the keeper.
#[derive(Debug)]
pub struct KeeperClaim(File);

impl KeeperClaim {
    /// Waits until no other keeper works for this directory: that of a daemon that was killed ends right after it.
    ///
    /// # Errors
    /// [`LockError::Keeper`] where it does not.
    pub fn take(working_dir: &Path, owner: &Owner) -> Result<Self, LockError> {
        Self::take_within(working_dir, owner, PATIENCE)
    }

    fn take_within(
        working_dir: &Path,
        owner: &Owner,
        patience: Duration,
    ) -> Result<Self, LockError> {
        let path = working_dir.join(KEEPER);
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let file = open(&path, owner).map_err(failed)?;
        let start = Instant::now();
        loop {
            // Not what unlocks when it is dropped: the keeper has the same lock.
            // SAFETY: takes no pointer.
            if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
                return Ok(Self(file));
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(failed(error));
            }
            if start.elapsed() >= patience {
                return Err(LockError::Keeper);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl AsFd for KeeperClaim {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn open(path: &Path, owner: &Owner) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    if geteuid().is_root() {
        fchown(&file, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(file)
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
    fn one_keeper_at_a_time_as_long_as_anybody_has_the_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let take = |patience| KeeperClaim::take_within(dir.path(), &owner(), patience);
        let first = take(Duration::ZERO).unwrap();
        let handed_on = first.as_fd().try_clone_to_owned().unwrap();
        drop(first);
        let told = take(Duration::ZERO).unwrap_err().to_string();
        assert!(
            told.starts_with("the keeper of a couic that has ended"),
            "{told}"
        );
        thread::scope(|scope| {
            let waiting = scope.spawn(|| take(PATIENCE));
            drop(handed_on);
            waiting.join().unwrap().unwrap();
        });
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
