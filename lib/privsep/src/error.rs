//! Why privileges could not be given up.

use std::io;

/// The daemon does not go on with more than it says that it has.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Capabilities that it takes to start.
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
        /// Why not.
        source: io::Error,
    },
    /// A step failed.
    #[error("cannot {doing}: {source}")]
    Step {
        /// Which.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It was done, and is not so.
    #[error(
        "a bug in couic, please report it: the thread {thread} still has privileges ({what}) after they were given up"
    )]
    Kept {
        /// Its name and number.
        thread: String,
        /// What should not be there.
        what: String,
    },
}

impl PrivilegeError {
    pub(crate) fn doing(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Step { doing, source }
    }
}
