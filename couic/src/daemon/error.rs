//! Errors of the start. Exit code 1.

use std::{io, path::Path};

use couic_common::error_chain;

use crate::api::SocketError;
use crate::{attach::LockError, logging::LogError, rbac::RbacError};
use couic_files::DirError;
use couic_firewall::dataplane::LoadError;
use couic_privsep::PrivilegeError;

/// A step of the start failed. The steps before it have been undone.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel is too old.
    #[error("{0}")]
    Kernel(String),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The working directory, or the user of the process.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The locks on the working directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The clients.
    #[error(transparent)]
    Clients(#[from] RbacError),
    /// The persisted rules.
    #[error(transparent)]
    State(#[from] couic_firewall::journal::StateError),
    /// The data plane.
    #[error("cannot load the XDP program: {0}")]
    Load(String),
    /// The interfaces.
    #[error(transparent)]
    Filter(#[from] crate::attach::AttacherError),
    /// The socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Dropping privileges.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// The notifiers.
    #[error(transparent)]
    Reporting(#[from] crate::reporting::ReportingError),
    /// The peers.
    #[error("[peering] {0}")]
    Peering(#[from] crate::peering::PeeringError),
    /// The sets' directory.
    #[error("cannot use the directory of sets in the working directory: {0}")]
    Sets(io::Error),
    /// The changes pending confirmation.
    #[error("cannot use the directory confirm in the working directory: {0}")]
    Confirmations(io::Error),
    /// Threads, signals.
    #[error("cannot {doing}: {source}")]
    System {
        /// The step, as an infinitive.
        doing: &'static str,
        /// The error of the system call.
        source: io::Error,
    },
}

impl StartError {
    /// A verifier's log goes to a file in the working directory.
    pub(super) fn load(error: &LoadError, working_dir: &Path) -> Self {
        let file = match error {
            LoadError::Program(refusal) => refusal.save(working_dir),
            _ => None,
        };
        let file = file.map_or(String::new(), |file| format!("; {file}"));
        Self::Load(error_chain(error) + &file)
    }

    pub(super) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}
