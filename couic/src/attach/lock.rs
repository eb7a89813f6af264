//! One daemon per working directory, by `flock(2)`: the lock ends with the process, however it ends.
//!
//! Whoever can open a file can hold a lock on it for ever, so only what no other user can open is locked: a file with mode
//! 0600. If the disk is not writable, an existing lock file is locked without writing to it, or else a directory of
//! ours that is closed to others: flock(2) needs no write access.

mod file;

use std::{
    fs::File,
    io::{self, Seek, Write},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use couic_files::Account;

use self::file::{Opened, locked, private_dir, try_lock};
use super::orphan::{OrphanAttacher, recorded};

/// Its name in the working directory. The file is never removed; only the lock on it matters.
const NAME: &str = "couic.lock";

/// The attacher's; the name of versions before 2.0, whose attacher may still run during an upgrade.
const ATTACHER: &str = "keeper.lock";

/// The lock files of a working directory.
pub const LOCK_FILES: [&str; 2] = [NAME, ATTACHER];

/// For the attacher of a daemon that has exited to exit, too.
const TIMEOUT: Duration = Duration::from_secs(30);

/// After this time an orphan attacher is killed, or reported in the log.
const GRACE: Duration = Duration::from_secs(2);

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(5);

/// The working directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon uses it.
    #[error(
        "another couic{} uses this working_dir: stop it first, or give this one a working_dir of its own",
        pid.as_ref().map(|p| format!(" (process {p})")).unwrap_or_default()
    )]
    Running {
        /// Its process, if it is recorded.
        pid: Option<u32>,
    },
    /// The attacher of the previous daemon still runs.
    #[error("the attacher of a couic that has exited still uses this working_dir: {}", advice(*pid))]
    Attacher {
        /// Its process, if it is recorded.
        pid: Option<u32>,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
}

fn advice(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!(
            "see whether process {pid} is `couic attacher` (ps {pid}); if so, kill it (kill -9 {pid}), and start couic again"
        ),
        None => "find `couic attacher` with ps, kill it, and start couic again".to_owned(),
    }
}

/// The daemon's lock on its working directory. Released on drop.
#[derive(Debug)]
pub struct WorkLock {
    /// None if the disk takes no lock file and others can open everything that could be locked instead.
    file: Option<File>,
    /// A directory is locked, for daemon and attacher together.
    is_dir: bool,
}

impl WorkLock {
    /// Locks the working directory for this process.
    ///
    /// # Errors
    /// [`LockError::Running`] if another daemon holds the lock; [`LockError::Io`].
    pub fn acquire(working_dir: &Path, owner: &Account) -> Result<Self, LockError> {
        let path = working_dir.join(NAME);
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        match locked(&path, owner).map_err(failed)? {
            Opened::Locked(file) => {
                write_pid(&file, std::process::id());
                let file = Some(file);
                Ok(Self {
                    file,
                    is_dir: false,
                })
            }
            Opened::Busy(mut file) => Err(LockError::Running {
                pid: recorded(&mut file),
            }),
            Opened::NoFile => Self::without_file(working_dir, owner).map_err(failed)?,
        }
    }

    /// The attacher of a killed daemon shares the lock on the directory until it exits.
    fn without_file(working_dir: &Path, owner: &Account) -> io::Result<Result<Self, LockError>> {
        let file = private_dir(working_dir, owner);
        if file.is_none() {
            let dir = working_dir.display();
            tracing::warn!(
                "{dir} takes no lock file, and other users can open it: nothing keeps a second couic from using it; run chmod 0700 {dir} once it is writable"
            );
        }
        let start = Instant::now();
        while let Some(dir) = &file
            && !try_lock(dir)?
        {
            if start.elapsed() >= GRACE {
                return Ok(Err(LockError::Running { pid: None }));
            }
            thread::sleep(RETRY);
        }
        Ok(Ok(Self { file, is_dir: true }))
    }
}

/// The attacher's lock on its working directory. It lasts while any process has this descriptor, which is passed to the
/// attacher.
#[derive(Debug)]
pub struct AttacherLock {
    /// As in [`WorkLock`].
    file: Option<File>,
    has_file: bool,
}

impl AttacherLock {
    /// Waits for the attacher of a killed daemon, which exits right after it, in the directory locked by `lock`. An
    /// orphan that is stopped or blocked is killed if it is certain to be one.
    ///
    /// # Errors
    /// [`LockError::Attacher`] if it does not exit; [`LockError::Running`] if its daemon runs, whose own lock file was
    /// removed; [`LockError::Io`].
    pub fn acquire(
        working_dir: &Path,
        owner: &Account,
        lock: &WorkLock,
    ) -> Result<Self, LockError> {
        Self::acquire_within(working_dir, owner, lock, [GRACE, TIMEOUT])
    }

    fn acquire_within(
        working_dir: &Path,
        owner: &Account,
        lock: &WorkLock,
        limits: [Duration; 2],
    ) -> Result<Self, LockError> {
        let path = working_dir.join(ATTACHER);
        let file = if lock.is_dir {
            None
        } else {
            Self::wait_for_file(&path, owner, limits)?
        };
        let has_file = file.is_some();
        let file = match file {
            Some(file) => Some(file),
            None => {
                let shared = lock.file.as_ref().map(File::try_clone).transpose();
                shared.map_err(|source| LockError::Io { path, source })?
            }
        };
        Ok(Self { file, has_file })
    }

    /// The locked file. `None` if the disk takes none.
    fn wait_for_file(
        path: &Path,
        owner: &Account,
        [grace, timeout]: [Duration; 2],
    ) -> Result<Option<File>, LockError> {
        let failed = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        let start = Instant::now();
        let mut reported = false;
        // No explicit unlock on drop: the attacher shares the lock.
        loop {
            let mut busy = match locked(path, owner).map_err(failed)? {
                Opened::Locked(file) => {
                    write_pid(&file, 0);
                    return Ok(Some(file));
                }
                Opened::Busy(file) => file,
                Opened::NoFile => return Ok(None),
            };
            let waited = start.elapsed();
            if waited >= grace && !reported {
                reported = true;
                if let Some(daemon) = OrphanAttacher::of(&mut busy).kill_or_warn() {
                    return Err(LockError::Running { pid: Some(daemon) });
                }
            }
            if waited >= timeout {
                let pid = recorded(&mut busy);
                return Err(LockError::Attacher { pid });
            }
            thread::sleep(RETRY);
        }
    }

    /// Records the attacher's process in the lock file.
    pub fn record(&self, process: u32) {
        if let Some(file) = self.file.as_ref().filter(|_| self.has_file) {
            write_pid(file, process);
        }
    }

    /// The descriptor for the attacher.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }
}

/// For operators, and for the next start. On error, such as on a full disk, the lock still holds.
fn write_pid(mut file: &File, process: u32) {
    let text = if process == 0 {
        String::new()
    } else {
        format!("{process}\n")
    };
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests;
