//! The last step of the start: from here on the process that listens and parses has no privilege on any thread.
//!
//! What must work on every kernel is an error where it does not: no capability, `no_new_privs`, memory that others of
//! the same user cannot read. What newer kernels add (Landlock, seccomp) is a warning where it cannot be had, since an
//! old kernel with a firewall is better off than one without.

use std::{io, os::fd::AsFd};

use crate::{
    Caps, Sets, ThreadStatus, ThreadStep,
    files::{self, Files},
    hide_memory,
};

use crate::{PrivilegeError, roles::serving};

/// What the running process could not give up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardening {
    /// The version of Landlock that confines it to its files; None where there is none.
    pub landlock: Option<i64>,
    /// Whether the filter of system calls is in force.
    pub seccomp: bool,
}

impl Hardening {
    /// What is missing, for who wants to know: an old kernel is no fault.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.landlock.is_none() {
            notes.push(
                "Landlock is missing (Linux 5.13 and later, switched on: lsm= at boot): the daemon can open what its user may"
                    .to_owned(),
            );
        }
        if !self.seccomp {
            notes.push(
                "seccomp is missing: the daemon may make every system call that its user may"
                    .to_owned(),
            );
        }
        notes
    }
}

/// Gives up every capability on every thread, and what programs that are run could gain; then all files but those in
/// `files`, and all system calls but those that serving takes. Of other processes it may end `children` alone. What
/// cannot be had is warned of.
///
/// # Errors
/// [`PrivilegeError`] where a thread keeps a capability: then the daemon must not serve.
pub fn give_up(files: &Files, children: &[u32]) -> Result<Hardening, PrivilegeError> {
    let nothing = ThreadStep::sets(Sets::NONE)
        .bounding(Caps::NONE)
        .no_new_privs();
    let threads = nothing
        .on_every_thread()
        .map_err(PrivilegeError::doing("give up capabilities"))?;
    hide_memory().map_err(PrivilegeError::doing("hide the memory"))?;
    verify(&crate::threads().map_err(PrivilegeError::doing("look at /proc/self/task"))?)?;
    let landlock = warned("confine it to its files (Landlock)", enter(nothing, files)).flatten();
    if landlock.is_none() {
        tracing::warn!(
            "this kernel has no Landlock (Linux 5.13 and later, switched on): the daemon can open what user and modes allow"
        );
    }
    let seccomp = warned(
        "filter its system calls (seccomp)",
        serving::install(children),
    )
    .is_some();
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
            tracing::warn!("cannot {what}: {error}; the daemon runs without that protection");
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
    fn what_is_missing_is_named() {
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
