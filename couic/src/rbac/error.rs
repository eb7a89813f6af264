//! What can go wrong with clients. Messages name files and fixes, never a token.

use std::{fmt, io, path::PathBuf};

use couic_common::ClientName;

/// Why clients could not be loaded or changed.
#[derive(Debug, thiserror::Error)]
pub enum RbacError {
    /// There is a client, or a file, of that name.
    #[error("there is a client {name} already")]
    Exists {
        /// The name asked for.
        name: ClientName,
    },
    /// There is no such client.
    #[error("there is no client {name}")]
    NotFound {
        /// The name asked for.
        name: ClientName,
    },
    /// The client is couicctl's, without which nobody could administer the daemon.
    #[error("the client {name} is what couicctl works with: it cannot be deleted")]
    Protected {
        /// Its name.
        name: ClientName,
    },
    /// Some client files cannot be used. The daemon does not start with half of its clients.
    #[error("{} client file(s) cannot be used:{}", .0.len(), Lines(.0))]
    Files(Vec<FileProblem>),
    /// The disk refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What is wrong with one client file, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// The file.
    pub path: PathBuf,
    /// The problem, then the way out.
    pub message: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

struct Lines<'a>(&'a [FileProblem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|p| write!(f, "\n  {p}"))
    }
}
