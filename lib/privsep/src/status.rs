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

/// Listings of a process's threads before giving up; with no thread that exits, two are enough.
const LISTINGS: usize = 10_000;

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
    for tid in thread_ids(tasks)? {
        let status = tasks.join(tid.to_string()).join("status");
        let text = match fs::read_to_string(&status) {
            Ok(text) => text,
            // The thread has exited meanwhile.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => continue,
            Err(e) => return Err(e),
        };
        found.push(
            ThreadStatus::parse(tid, &text)
                .ok_or_else(|| io::Error::other(format!("cannot parse {}", status.display())))?,
        );
    }
    Ok(found)
}

/// The thread ids below `tasks`, a `/proc/PID/task`; none that lives during the whole call is missing.
///
/// A single listing may miss one: readdir(3) of that directory goes on by position, so that if a thread exits that it
/// has listed, the next one is skipped (`proc_task_readdir` of Linux, fs/proc/base.c). The exited thread is not in the
/// listing after that, hence the directory is read until two listings in succession are equal.
pub(crate) fn thread_ids(tasks: &Path) -> io::Result<Vec<libc::pid_t>> {
    let mut last = listing(tasks)?;
    for _ in 0..LISTINGS {
        let next = listing(tasks)?;
        if next == last {
            return Ok(next);
        }
        last = next;
    }
    let what = "threads start and exit faster than they can be listed";
    Err(io::Error::new(io::ErrorKind::TimedOut, what))
}

fn listing(tasks: &Path) -> io::Result<Vec<libc::pid_t>> {
    let mut ids = Vec::new();
    for task in fs::read_dir(tasks)? {
        let name = task?.file_name();
        ids.extend(name.to_str().and_then(|id| id.parse::<libc::pid_t>().ok()));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering::Relaxed},
        },
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn no_living_thread_is_missed_while_others_exit() {
        let stop = Arc::new(AtomicBool::new(false));
        let exiting: Vec<_> = (0..2)
            .map(|_| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || {
                    while !stop.load(Relaxed) {
                        thread::spawn(|| {}).join().unwrap();
                    }
                })
            })
            .collect();
        let (looks, deadline) = (2_000, Instant::now() + Duration::from_secs(10));
        for look in 0..looks {
            let living = thread::spawn(|| {
                // SAFETY: no pointers are passed.
                let me = unsafe { libc::gettid() };
                (me, thread_ids(Path::new("/proc/self/task")).unwrap())
            });
            let (me, ids) = living.join().unwrap();
            assert!(ids.contains(&me), "look {look}: {me} is not in {ids:?}");
            if Instant::now() > deadline {
                break;
            }
        }
        stop.store(true, Relaxed);
        exiting.into_iter().for_each(|t| t.join().unwrap());
    }
}
