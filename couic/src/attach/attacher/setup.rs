//! The attacher's configuration, its store of links, and its errors.

use std::{io, os::fd::BorrowedFd, path::PathBuf};

use crate::{attach::lock::LockError, config::Config};
use couic_files::Account;
use couic_firewall::dataplane::OperationMode;

/// Stores links while no process of ours runs.
pub trait LinkStore: Send + Sync {
    /// Stores a link under a name.
    ///
    /// # Errors
    /// The link is not stored then.
    fn store(&self, name: &str, link: BorrowedFd<'_>) -> io::Result<()>;

    /// Removes the links under that name.
    ///
    /// # Errors
    /// They may still be stored then.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// The configuration of an attacher.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Names of interfaces, and patterns.
    pub ifaces: Vec<String>,
    /// The mode in which the program is attached.
    pub mode: OperationMode,
    /// Identifies the configuration.
    pub working_dir: PathBuf,
    /// The user and group of the process.
    pub owner: Account,
    /// Whether the filter survives the daemon.
    pub stay: bool,
}

impl Setup {
    /// The setup in `config`.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            ifaces: config.ifaces.clone(),
            mode: config.operation_mode,
            working_dir: config.working_dir.clone(),
            owner: config.owner.clone(),
            stay: config.keep_filter,
        }
    }
}

/// Why the filter is not attached.
#[derive(Debug, thiserror::Error)]
pub enum AttacherError {
    /// The attacher's lock on the working directory cannot be acquired.
    #[error(transparent)]
    Claim(#[from] LockError),
    /// The process cannot be started.
    #[error("cannot start the attacher, the process that attaches the filter: {0}")]
    Start(io::Error),
    /// The program cannot be attached.
    #[error("cannot filter: {0}")]
    Refused(String),
    /// The process has exited.
    #[error(
        "the attacher, the process that attaches the filter, {0}: see its output on stderr, and the kernel's log"
    )]
    Ended(String),
}
