//! An orphan attacher: it has not exited with its daemon, because it was stopped (SIGSTOP) or is blocked in a driver.
//!
//! It is killed only if it is certain to be one: the process recorded in the lock file, with this program's executable
//! and the attacher's role, whose daemon is gone. Stored links stay attached.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::PathBuf,
};

/// The process recorded in a lock file.
pub(super) fn recorded(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The process that holds the attacher's lock although its daemon is gone.
#[derive(Debug)]
pub(super) struct OrphanAttacher {
    pid: Option<u32>,
}

impl OrphanAttacher {
    pub(super) fn of(file: &mut File) -> Self {
        Self {
            pid: recorded(file),
        }
    }

    /// Kills it if that is safe, and logs the outcome. Returns its daemon if that runs: then it is no orphan.
    pub(super) fn kill_or_warn(&self) -> Option<u32> {
        let Some(pid) = self.pid else {
            tracing::warn!(
                "waiting for the attacher of a couic that has exited: find `couic attacher` with ps, and kill it"
            );
            return None;
        };
        let state = process_state(pid);
        match kill(pid) {
            Ok(()) => tracing::warn!(
                "killed the attacher (process {pid}, {state}) of a couic that has exited; the filter stays attached if its \
                 links are stored"
            ),
            Err(Kept::Serves(daemon)) => return Some(daemon),
            Err(Kept::Unknown(why)) => tracing::error!(
                "waiting for the attacher of a couic that has exited; process {pid} ({state}), which is recorded as that, is \
                 not killed, since {why}: find `couic attacher` with ps, and kill it if its parent is no couic"
            ),
        }
        None
    }
}

/// The state in `/proc`: sleeping, stopped, and so on.
pub(super) fn process_state(pid: u32) -> String {
    let state = status_field(pid, "State:").unwrap_or_default();
    let word = state
        .split_once('(')
        .map(|(_, word)| word.trim_end_matches(')'));
    word.unwrap_or("gone").to_owned()
}

fn status_field(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().to_owned())
}

/// Why a process is not killed.
#[derive(Debug)]
enum Kept {
    /// It is the attacher of this daemon, which runs.
    Serves(u32),
    /// It may be another process.
    Unknown(String),
}

impl From<String> for Kept {
    fn from(why: String) -> Self {
        Self::Unknown(why)
    }
}

/// Kills it if it is an orphan attacher.
fn kill(pid: u32) -> Result<(), Kept> {
    // The pidfd refers to this process, even if its PID is reused.
    let process = pidfd_open(pid).map_err(|e| format!("pidfd_open failed: {e}"))?;
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    // The second is the role's name in versions before 2.0, one of which may have been upgraded.
    let role = cmdline.split(|byte| *byte == 0).nth(1).unwrap_or_default();
    if ![b"attacher".as_slice(), b"filter-keeper"].contains(&role) {
        return Err("its command line is not an attacher's".to_owned().into());
    }
    let program = |of: &str| fs::read_link(format!("/proc/{of}/exe"));
    let own = program("self").map_err(|e| format!("/proc/self/exe cannot be read: {e}"))?;
    let its =
        program(&pid.to_string()).map_err(|e| format!("/proc/{pid}/exe cannot be read: {e}"))?;
    if !same_file(&own, &its) {
        return Err(format!("it runs {}", its.display()).into());
    }
    let parent = status_field(pid, "PPid:").unwrap_or_default();
    if program(&parent).is_ok_and(|parent| same_file(&own, &parent)) {
        return Err(match parent.parse() {
            Ok(daemon) => Kept::Serves(daemon),
            Err(_) => format!("its parent, process {parent}, is a running couic").into(),
        });
    }
    // SAFETY: the only pointer may be null.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            libc::SIGKILL,
            std::ptr::null::<u8>(),
            0,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error().to_string().into());
    }
    Ok(())
}

/// Whether both are the same path, also if an upgrade has replaced the file.
fn same_file(own: &PathBuf, other: &PathBuf) -> bool {
    let plain = |path: &PathBuf| {
        let text = path.to_string_lossy().into_owned();
        text.trim_end_matches(" (deleted)").to_owned()
    };
    plain(own) == plain(other)
}

fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created the descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, id};

    use super::*;

    #[test]
    fn only_an_attacher_without_a_daemon_is_killed() {
        let Err(Kept::Unknown(why)) = kill(id()) else {
            panic!("no attacher's child");
        };
        assert!(why.contains("is not an attacher's"), "{why}");
        assert!(kill(u32::MAX).is_err());
        // A living process with another command line.
        let mut child = Command::new("sh")
            .args(["-c", "read line", "sh"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        assert!(kill(child.id()).is_err());
        assert!(child.try_wait().unwrap().is_none(), "it lives");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(process_state(u32::MAX), "gone");
    }
}
