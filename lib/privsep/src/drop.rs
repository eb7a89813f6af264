//! The last step of the start: afterwards the serving process has no privilege on any thread.
//!
//! Dropping capabilities, `no_new_privs` and non-dumpable memory work on every kernel, so their failure is an error.
//! Landlock and seccomp may be missing on old kernels, which is a warning: a firewall without them is better than none.

use std::{io, os::fd::AsFd};

use crate::{
    Caps, Sets, ThreadStatus, ThreadStep,
    files::{self, Files},
    hide_memory,
};

use crate::{PrivilegeError, roles::serving};

/// The confinement of the running process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardening {
    /// The Landlock ABI version that confines it to its files; `None` without Landlock.
    pub landlock: Option<i64>,
    /// Whether the seccomp filters are installed.
    pub seccomp: bool,
}

impl Hardening {
    /// Missing protection, as notes for health: an old kernel is no fault.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.landlock.is_none() {
            notes.push(
                "Landlock is missing (Linux 5.13 and later, enabled by lsm= at boot): the daemon can open every file that its user can"
                    .to_owned(),
            );
        }
        if !self.seccomp {
            notes.push(
                "seccomp is missing: the daemon can make every system call that its user can"
                    .to_owned(),
            );
        }
        notes
    }
}

/// Drops every capability on every thread and sets `no_new_privs`; then confines the process to `files` and to the
/// system calls of serving. It may send no signal to another process. Protection that this kernel lacks is logged.
///
/// # Errors
/// [`PrivilegeError`] if a thread keeps a capability: the daemon must not serve then.
pub fn drop_privileges(files: &Files) -> Result<Hardening, PrivilegeError> {
    let nothing = ThreadStep::sets(Sets::NONE)
        .bounding(Caps::NONE)
        .no_new_privs();
    let threads = nothing
        .on_every_thread()
        .map_err(PrivilegeError::doing("give up capabilities"))?;
    hide_memory().map_err(PrivilegeError::doing("hide the memory"))?;
    verify(&crate::threads().map_err(PrivilegeError::doing("read /proc/self/task"))?)?;
    let landlock = warned("confine it to its files (Landlock)", enter(nothing, files)).flatten();
    if landlock.is_none() {
        tracing::warn!(
            "this kernel has no Landlock (Linux 5.13 and later, enabled by lsm= at boot): the daemon can open every file that its user can"
        );
    }
    let seccomp = warned("filter its system calls (seccomp)", serving::install()).is_some();
    let version = landlock.map_or("none".to_owned(), |version| version.to_string());
    let filtered = if seccomp { "yes" } else { "no" };
    tracing::info!(
        "no capabilities on {threads} threads, no_new_privs, Landlock version {version}, seccomp {filtered}"
    );
    Ok(Hardening { landlock, seccomp })
}

fn enter(nothing: ThreadStep, files: &Files) -> io::Result<Option<i64>> {
    let Some(domain) = files.domain()? else {
        return Ok(None);
    };
    nothing.domain(domain.as_fd()).on_every_thread()?;
    Ok(Some(files::version()))
}

fn warned<T>(what: &str, outcome: io::Result<T>) -> Option<T> {
    outcome
        .inspect_err(|error| {
            tracing::warn!("cannot {what}: {error}; the daemon runs without this protection");
        })
        .ok()
}

fn verify(threads: &[ThreadStatus]) -> Result<(), PrivilegeError> {
    let kept = threads
        .iter()
        .find(|thread| !thread.is_powerless() || !thread.no_new_privs);
    let Some(thread) = kept else {
        return Ok(());
    };
    Err(PrivilegeError::Kept {
        thread: format!("{} ({})", thread.name, thread.tid),
        what: format!(
            "effective {:?}, permitted {:?}, inheritable {:?}, ambient {:?}, no_new_privs {}",
            thread.effective,
            thread.permitted,
            thread.inheritable,
            thread.ambient,
            thread.no_new_privs
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_protection_is_named() {
        let all = Hardening {
            landlock: Some(7),
            seccomp: true,
        };
        assert_eq!(all.notes(), [""; 0]);
        let notes = Hardening::default().notes();
        assert_eq!(notes.len(), 2);
        assert!(notes[0].starts_with("Landlock") && notes[1].starts_with("seccomp"));
    }
}
