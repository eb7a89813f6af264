//! One daemon per working directory, by `flock(2)`: the lock ends with the process, however it ends.
//!
//! If the disk is not writable, an existing lock file is locked without writing to it, or else the directory itself:
//! flock(2) needs no write access.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::{OpenOptionsExt, fchown},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::unistd::geteuid;

use couic_files::refuses_data;

use super::orphan::{OrphanAttacher, recorded};
use couic_files::Account;

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
        Some(pid) => format!("kill process {pid} (kill -9 {pid}), and start couic again"),
        None => "find `couic attacher` with ps, kill it, and start couic again".to_owned(),
    }
}

/// The daemon's lock on its working directory. Released on drop.
#[derive(Debug)]
pub struct WorkLock {
    file: File,
    /// The directory itself is locked, for daemon and attacher together.
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
        let (mut file, is_dir) = match open(&path, owner).map_err(failed)? {
            Some(file) => (file, false),
            None => (File::open(working_dir).map_err(failed)?, true),
        };
        let start = Instant::now();
        while !try_lock(&file).map_err(failed)? {
            // The attacher of a killed daemon shares the lock on the directory until it exits.
            if !is_dir || start.elapsed() >= GRACE {
                let pid = if is_dir { None } else { recorded(&mut file) };
                return Err(LockError::Running { pid });
            }
            thread::sleep(RETRY);
        }
        if !is_dir {
            write_pid(&file, std::process::id());
        }
        Ok(Self { file, is_dir })
    }
}

/// The attacher's lock on its working directory. It lasts while any process has this descriptor, which is passed to the
/// attacher.
#[derive(Debug)]
pub struct AttacherLock {
    file: File,
    has_file: bool,
}

impl AttacherLock {
    /// Waits for the attacher of a killed daemon, which exits right after it, in the directory locked by `lock`. An
    /// orphan that is stopped or blocked is killed if it is certain to be one.
    ///
    /// # Errors
    /// [`LockError::Attacher`] if it does not exit; [`LockError::Io`].
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
        [grace, timeout]: [Duration; 2],
    ) -> Result<Self, LockError> {
        let path = working_dir.join(ATTACHER);
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let opened = if lock.is_dir {
            None
        } else {
            open(&path, owner).map_err(failed)?
        };
        let Some(mut file) = opened else {
            let file = lock.file.try_clone().map_err(failed)?;
            return Ok(Self {
                file,
                has_file: false,
            });
        };
        let start = Instant::now();
        let mut reported = false;
        // No explicit unlock on drop: the attacher shares the lock.
        while !try_lock(&file).map_err(failed)? {
            let waited = start.elapsed();
            if waited >= grace && !reported {
                reported = true;
                OrphanAttacher::of(&mut file).kill_or_warn();
            }
            if waited >= timeout {
                let pid = recorded(&mut file);
                return Err(LockError::Attacher { pid });
            }
            thread::sleep(RETRY);
        }
        write_pid(&file, 0);
        Ok(Self {
            file,
            has_file: true,
        })
    }

    /// Records the attacher's process in the lock file.
    pub fn record(&self, process: u32) {
        if self.has_file {
            write_pid(&self.file, process);
        }
    }
}

impl AsFd for AttacherLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether the lock was acquired.
fn try_lock(file: &File) -> io::Result<bool> {
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

/// The file, created if it is missing. `None` if it is missing and the disk is not writable.
fn open(path: &Path, owner: &Account) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW);
    let mut writing = options.clone();
    let file = match writing.write(true).create(true).truncate(false).open(path) {
        Ok(file) => file,
        Err(error) if refuses_data(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
            return match options.open(path) {
                Ok(file) => Ok(Some(file)),
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(_) => Err(error),
            };
        }
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            let text = "it is a symbolic link, which is not followed: remove it";
            return Err(io::Error::new(error.kind(), text));
        }
        Err(error) => return Err(error),
    };
    if geteuid().is_root() {
        fchown(&file, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(Some(file))
}

#[cfg(test)]
mod tests;
