//! Credentials of threads, read from `/proc`: the check for the daemon itself and for tests.

use std::{fs, io, path::Path};

use crate::Caps;

/// The credentials of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadStatus {
    /// Its thread ID.
    pub tid: libc::pid_t,
    /// Its name.
    pub name: String,
    /// Real, effective, saved and file system user.
    pub uids: Vec<u32>,
    /// The same for the group.
    pub gids: Vec<u32>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Effective capabilities.
    pub effective: Caps,
    /// Permitted capabilities.
    pub permitted: Caps,
    /// Inheritable capabilities.
    pub inheritable: Caps,
    /// Ambient capabilities.
    pub ambient: Caps,
    /// The bounding set.
    pub bounding: Caps,
    /// Whether `no_new_privs` is set.
    pub no_new_privs: bool,
    /// The seccomp mode: 0 disabled, 2 filtered.
    pub seccomp: u32,
}

impl ThreadStatus {
    /// Whether all sets but the bounding set are empty.
    #[must_use]
    pub fn is_powerless(&self) -> bool {
        [
            self.effective,
            self.permitted,
            self.inheritable,
            self.ambient,
        ]
        .iter()
        .all(|set| set.is_empty())
    }

    fn parse(tid: libc::pid_t, text: &str) -> Option<Self> {
        let value = |key: &str| {
            let mut lines = text.lines();
            lines
                .find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))
                .map(str::trim)
        };
        let numbers = |key| -> Option<Vec<u32>> {
            let words = value(key)?.split_whitespace();
            words.map(|word| word.parse().ok()).collect()
        };
        let caps = |key| Some(Caps::from_bits(u64::from_str_radix(value(key)?, 16).ok()?));
        Some(Self {
            tid,
            name: value("Name")?.to_owned(),
            uids: numbers("Uid")?,
            gids: numbers("Gid")?,
            groups: numbers("Groups")?,
            effective: caps("CapEff")?,
            permitted: caps("CapPrm")?,
            inheritable: caps("CapInh")?,
            ambient: caps("CapAmb")?,
            bounding: caps("CapBnd")?,
            no_new_privs: value("NoNewPrivs")? == "1",
            seccomp: value("Seccomp")?.parse().ok()?,
        })
    }
}

/// The threads of this process.
///
/// # Errors
/// If `/proc` cannot be read or parsed.
pub fn threads() -> io::Result<Vec<ThreadStatus>> {
    read_tasks(Path::new("/proc/self/task"))
}

/// The threads of another process.
///
/// # Errors
/// If `/proc` cannot be read or parsed, or the process is gone.
pub fn threads_of(pid: u32) -> io::Result<Vec<ThreadStatus>> {
    read_tasks(&Path::new("/proc").join(pid.to_string()).join("task"))
}

fn read_tasks(tasks: &Path) -> io::Result<Vec<ThreadStatus>> {
    let mut found = Vec::new();
    for task in fs::read_dir(tasks)? {
        let task = task?;
        let text = match fs::read_to_string(task.path().join("status")) {
            Ok(text) => text,
            // The thread has exited meanwhile.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => continue,
            Err(e) => return Err(e),
        };
        let tid = task.file_name().to_str().and_then(|tid| tid.parse().ok());
        let status = tid.and_then(|tid| ThreadStatus::parse(tid, &text));
        found.push(status.ok_or_else(|| {
            io::Error::other(format!("cannot parse {}/status", task.path().display()))
        })?);
    }
    Ok(found)
}
