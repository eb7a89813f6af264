//! What `/proc` says about threads: the proof, for the daemon itself, for tests and for operators.

use std::{fs, io, path::Path};

use crate::Caps;

/// What a thread may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadStatus {
    /// The kernel's number for the thread.
    pub tid: libc::pid_t,
    /// Its name.
    pub name: String,
    /// Real, effective, saved and file system user.
    pub uids: Vec<u32>,
    /// The same of the group.
    pub gids: Vec<u32>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Capabilities that count.
    pub effective: Caps,
    /// Capabilities that may be made effective.
    pub permitted: Caps,
    /// Capabilities that may be handed on.
    pub inheritable: Caps,
    /// Capabilities that are handed on.
    pub ambient: Caps,
    /// Capabilities that could be gained.
    pub bounding: Caps,
    /// Whether programs that it runs get no more than it has.
    pub no_new_privs: bool,
    /// 0: all system calls, 2: those that a filter allows.
    pub seccomp: u32,
}

impl ThreadStatus {
    /// No capability in the sets that count.
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
/// What the system says.
pub fn threads() -> io::Result<Vec<ThreadStatus>> {
    of(Path::new("/proc/self/task"))
}

/// The threads of another process.
///
/// # Errors
/// What the system says: that it is gone, for example.
pub fn threads_of(pid: u32) -> io::Result<Vec<ThreadStatus>> {
    of(&Path::new("/proc").join(pid.to_string()).join("task"))
}

fn of(tasks: &Path) -> io::Result<Vec<ThreadStatus>> {
    let mut found = Vec::new();
    for task in fs::read_dir(tasks)? {
        let task = task?;
        let text = match fs::read_to_string(task.path().join("status")) {
            Ok(text) => text,
            // It has ended meanwhile.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => continue,
            Err(e) => return Err(e),
        };
        let tid = task.file_name().to_str().and_then(|tid| tid.parse().ok());
        let status = tid.and_then(|tid| ThreadStatus::parse(tid, &text));
        found.push(status.ok_or_else(|| {
            io::Error::other(format!(
                "{}/status is not understood",
                task.path().display()
            ))
        })?);
    }
    Ok(found)
}
