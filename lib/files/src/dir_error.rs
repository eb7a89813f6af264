//! Why the working directory cannot be used, with the command that repairs it.

use std::{io, path::PathBuf};

/// The working directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// It does not exist.
    #[error(
        "the working directory {} does not exist: run install -d -m 0750 -o {user} -g {group} {}",
        path.display(), path.display()
    )]
    Missing {
        /// The directory.
        path: PathBuf,
        /// The user that should own it.
        user: String,
        /// The group that should own it.
        group: String,
    },
    /// It is not a directory.
    #[error("the working directory {} is not a directory: move it away, or name another working_dir", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error(
        "the working directory {} belongs to {found}, not to {user}: run chown -R {user}:{group} {}",
        path.display(), path.display()
    )]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        found: String,
        /// The user that should own it.
        user: String,
        /// The group that should own it.
        group: String,
    },
    /// Users other than its owner may write to it.
    #[error(
        "users other than its owner may write to the working directory {} (mode {mode:04o}): run chmod go-w {}",
        path.display(), path.display()
    )]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Its owner and mode cannot be read.
    #[error("cannot check the working directory {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The configured user cannot reach it.
    #[error(
        "{user} cannot reach the working directory {}: {} belongs to {found} and is closed to others (mode {mode:04o}): run chmod o+x {}, or name another working_dir",
        path.display(), way.display(), way.display()
    )]
    Closed {
        /// The directory.
        path: PathBuf,
        /// The directory above it that is closed.
        way: PathBuf,
        /// The owner of that.
        found: String,
        /// The mode of that.
        mode: u32,
        /// The configured user.
        user: String,
    },
    /// A lock file is a symbolic link.
    #[error(
        "{} is a symbolic link, which is not followed: run rm {}, and start couic again",
        path.display(), path.display()
    )]
    LockIsLink {
        /// The link.
        path: PathBuf,
    },
    /// The process runs as neither root nor the configured user.
    #[error(
        "couic runs as {running}, but the configuration says user = {user:?}: start it as root"
    )]
    WrongUser {
        /// The user of the process.
        running: String,
        /// The configured user.
        user: String,
    },
}
