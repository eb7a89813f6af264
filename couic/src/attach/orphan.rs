//! The attacher of a daemon that has ended, where it did not end with it: somebody stopped it (SIGSTOP), or a driver holds
//! it up.
//!
//! It is ended only if it is certain what it is: the process that wrote itself down, with this program's file and the
//! attacher's role, whose daemon is gone. What it attached stays where it is kept.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::PathBuf,
};

/// The process that a lock file names.
pub(super) fn recorded(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Who holds the lock of an attacher whose daemon is gone.
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

    /// Ends it where that is safe; says what is going on in any case.
    pub(super) fn kill_or_warn(&self) {
        let Some(pid) = self.pid else {
            tracing::warn!(
                "waiting for the attacher of a couic that has ended: look for `couic attacher` with ps, and kill it"
            );
            return;
        };
        let state = process_state(pid);
        match kill(pid) {
            Ok(()) => tracing::warn!(
                "the attacher (process {pid}, {state}) of a couic that has ended was still there, and is killed; what it \
                 attached stays where it is kept"
            ),
            Err(why) => tracing::error!(
                "waiting for the attacher (process {pid}, {state}) of a couic that has ended, which is not killed, since \
                 {why}: run kill -9 {pid} if it is one"
            ),
        }
    }
}

/// As `/proc` calls it: sleeping, stopped, and so on.
fn process_state(pid: u32) -> String {
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

/// Kills it if it is what it should be, and says why not otherwise.
fn kill(pid: u32) -> Result<(), String> {
    // From here on it is this process, whoever has its number later.
    let process = pidfd_open(pid).map_err(|e| format!("it cannot be looked at: {e}"))?;
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    // The second is what versions before 2.0 called it, one of which may have been upgraded.
    let role = words.split(|byte| *byte == 0).nth(1).unwrap_or_default();
    if ![b"attacher".as_slice(), b"filter-keeper"].contains(&role) {
        return Err("it does not look like one".to_owned());
    }
    let program = |of: &str| fs::read_link(format!("/proc/{of}/exe"));
    let own = program("self").map_err(|e| format!("this program cannot be named: {e}"))?;
    let its = program(&pid.to_string()).map_err(|e| format!("its program cannot be named: {e}"))?;
    if !same_file(&own, &its) {
        return Err(format!("it runs {}", its.display()));
    }
    let parent = status_field(pid, "PPid:").unwrap_or_default();
    if program(&parent).is_ok_and(|parent| same_file(&own, &parent)) {
        return Err(format!(
            "the process {parent} that started it is a couic that runs"
        ));
    }
    // SAFETY: takes no pointer but one that may be null.
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
        return Err(io::Error::last_os_error().to_string());
    }
    Ok(())
}

/// The same file, also where an upgrade has replaced it meanwhile.
fn same_file(own: &PathBuf, other: &PathBuf) -> bool {
    let plain = |path: &PathBuf| {
        let text = path.to_string_lossy().into_owned();
        text.trim_end_matches(" (deleted)").to_owned()
    };
    plain(own) == plain(other)
}

fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, id};

    use super::*;

    #[test]
    fn only_an_attacher_without_a_daemon_is_killed() {
        assert!(kill(id()).unwrap_err().contains("does not look like one"));
        assert!(kill(u32::MAX).is_err());
        // The role alone is not enough.
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
