//! One daemon for each working directory, by `flock(2)`: the lock ends with the process, however it ends.
//!
//! Where the disk takes no data, a file that is there is locked as it is, and without one the directory itself: a lock
//! needs no right to write.

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

/// Its name in the working directory. It stays there; only the lock on it counts.
const NAME: &str = "couic.lock";

/// The attacher's, likewise.
const ATTACHER: &str = "keeper.lock";

/// The lock files of a working directory.
pub const LOCK_FILES: [&str; 2] = [NAME, ATTACHER];

/// How long the attacher of a daemon that has ended may take to end, too.
const TIMEOUT: Duration = Duration::from_secs(30);

/// After so long the log says who is waited for, and one that will not end by itself is ended.
const GRACE: Duration = Duration::from_secs(2);

/// Between two tries.
const RETRY: Duration = Duration::from_millis(5);

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
    /// The attacher of a daemon before this one still runs.
    #[error("the attacher of a couic that has ended still works for this working_dir: {}", advice(*pid))]
    Attacher {
        /// Its process, where that is known.
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

fn advice(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("kill process {pid} (kill -9 {pid}), and start couic again"),
        None => "look for `couic attacher` with ps, kill it, and start couic again".to_owned(),
    }
}

/// The claim. Ends when it is dropped.
#[derive(Debug)]
pub struct WorkLock {
    file: File,
    /// What is locked is the directory: for it there is no lock but this.
    is_dir: bool,
}

impl WorkLock {
    /// Claims the working directory for this process.
    ///
    /// # Errors
    /// [`LockError::Running`] where another daemon has it.
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
            // The attacher of a daemon that was killed holds the directory, too, for a moment.
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

/// The claim on being the one attacher of a working directory. It holds while anybody has this descriptor, so it is
/// handed to the attacher.
#[derive(Debug)]
pub struct AttacherLock {
    file: File,
    has_file: bool,
}

impl AttacherLock {
    /// Waits until no other attacher works for this directory, which this process has claimed: that of a daemon that was
    /// killed ends right after it. One that is stopped is ended, where it is certain what it is.
    ///
    /// # Errors
    /// [`LockError::Attacher`] where it does not end.
    pub fn acquire(working_dir: &Path, owner: &Account, lock: &WorkLock) -> Result<Self, LockError> {
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
            return Ok(Self { file, has_file: false });
        };
        let start = Instant::now();
        let mut reported = false;
        // Nothing unlocks when this is dropped: the attacher has the same lock.
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
        Ok(Self { file, has_file: true })
    }

    /// Writes down whose it is from now on.
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

/// Whether the lock is ours now.
fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: takes no pointer.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(false),
        _ => Err(error),
    }
}

/// For people, and for the next start. The lock holds without it: a disk may take no data.
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

/// The file, made where it is missing. None where it is missing and cannot be made.
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
            let text = "it is a symbolic link, which could lead anywhere: remove it";
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
mod tests {
    use nix::unistd::getegid;

    use super::*;

    fn owner() -> Account {
        Account {
            user: String::new(),
            group: String::new(),
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
        }
    }

    #[test]
    fn one_at_a_time_and_the_second_learns_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = WorkLock::acquire(dir.path(), &owner()).unwrap();
        let told = WorkLock::acquire(dir.path(), &owner())
            .unwrap_err()
            .to_string();
        let pid = std::process::id();
        assert!(
            told.starts_with(&format!("another couic (process {pid}) works with")),
            "{told}"
        );
        drop(first);
        WorkLock::acquire(dir.path(), &owner()).unwrap();
    }

    #[test]
    fn one_attacher_at_a_time_as_long_as_anybody_has_the_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let lock = WorkLock::acquire(dir.path(), &owner()).unwrap();
        let take =
            |timeout| AttacherLock::acquire_within(dir.path(), &owner(), &lock, [timeout, timeout]);
        let first = take(Duration::ZERO).unwrap();
        // Nobody's who could be ended.
        first.record(std::process::id());
        let handed_on = first.as_fd().try_clone_to_owned().unwrap();
        drop(first);
        let told = take(Duration::ZERO).unwrap_err().to_string();
        assert!(
            told.starts_with("the attacher of a couic that has ended")
                && told.contains(&format!("kill process {}", std::process::id())),
            "{told}"
        );
        thread::scope(|scope| {
            let waiting = scope.spawn(|| take(TIMEOUT));
            drop(handed_on);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join(NAME)).unwrap();
        let told = WorkLock::acquire(dir.path(), &owner())
            .unwrap_err()
            .to_string();
        assert!(
            told.starts_with("cannot lock ") && told.contains(NAME) && told.ends_with("remove it"),
            "{told}"
        );
    }

    #[test]
    fn without_a_file_the_directory_is_what_is_locked() {
        let dir = tempfile::tempdir().unwrap();
        // As on a file system that is read-only: there is no file, and none can be made.
        let lock = WorkLock {
            file: File::open(dir.path()).unwrap(),
            is_dir: true,
        };
        assert!(try_lock(&lock.file).unwrap());
        let attacher = AttacherLock::acquire(dir.path(), &owner(), &lock).unwrap();
        attacher.record(1);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let other = File::open(dir.path()).unwrap();
        assert!(!try_lock(&other).unwrap());
        drop(lock);
        assert!(!try_lock(&other).unwrap(), "the attacher has it still");
        drop(attacher);
        assert!(try_lock(&other).unwrap());
    }
}
