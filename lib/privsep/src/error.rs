//! Errors of dropping privileges.

use std::io;

/// Privileges could not be dropped, or are missing; the process must not go on.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Capabilities that a start requires are missing.
    #[error("{0}")]
    Lacking(String),
    /// Root cannot become the configured user.
    #[error(
        "cannot become user {user}, group {group}: {source}; a container that may not switch users must start couic as that user, with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    Switch {
        /// The configured user.
        user: String,
        /// The configured group.
        group: String,
        /// The error of the system call.
        source: io::Error,
    },
    /// A step failed.
    #[error("cannot {doing}: {source}")]
    Step {
        /// The step, as an infinitive.
        doing: &'static str,
        /// The error of the system call.
        source: io::Error,
    },
    /// A thread still has privileges after the drop.
    #[error(
        "a bug in couic, please report it: the thread {thread} still has privileges ({what}) after they were given up"
    )]
    Kept {
        /// Its name and thread ID.
        thread: String,
        /// Its capability sets.
        what: String,
    },
}

impl PrivilegeError {
    pub(crate) fn doing(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Step { doing, source }
    }
}
