//! Errors of clients. Messages name files and fixes, never a token.

use std::{fmt, io, path::PathBuf};

use couic_common::{ClientName, time_left};

/// Why clients could not be loaded or changed.
#[derive(Debug, thiserror::Error)]
pub enum RbacError {
    /// A client, or a file, of that name exists.
    #[error("there is a client {name} already")]
    Exists {
        /// The requested name.
        name: ClientName,
    },
    /// There is no such client.
    #[error("there is no client {name}")]
    NotFound {
        /// The requested name.
        name: ClientName,
    },
    /// The client of couicctl, without which the daemon could not be administered.
    #[error("the client {name} is the one that couicctl uses: it cannot be deleted")]
    Protected {
        /// Its name.
        name: ClientName,
    },
    /// Its limits cannot be.
    #[error("{field} {message}")]
    Limits {
        /// The field, such as `limits.tags`.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// Some client files cannot be used. The daemon does not start with half of its clients.
    #[error("{} client file(s) cannot be used:{}", .0.len(), Lines(.0))]
    Files(Vec<FileProblem>),
    /// A file operation failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The operation, as an infinitive.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nobody's, or one that was replaced.
    #[error("no client has this token")]
    Unknown,
    /// All zeros, which the API shows in place of a token that it does not have.
    #[error(
        "this token is all zeros, which stands for one that is not shown: a token is shown once, when it is made (couicctl clients rotate NAME makes a new one)"
    )]
    Nil,
    /// It was valid. Who holds it may know.
    #[error("the token of the client {name} expired {} ago: couicctl clients rotate {name} makes a new one", time_left(*ago))]
    Expired {
        /// The client.
        name: ClientName,
        /// Seconds.
        ago: u64,
    },
}

/// A client file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// The file.
    pub path: PathBuf,
    /// The problem and the fix.
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
