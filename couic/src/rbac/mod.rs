//! Authentication and authorisation: client files, tokens, groups and their rights.
//!
//! What holds:
//! - A client file is created with mode 0600. A file with another mode, of another owner, with invalid content or with
//!   a token of another client fails the start; the message names the file and the fix.
//! - A token is compared with every client's in constant time, so the time reveals only their number.
//! - Tokens are in no error and in no `Debug`.

mod error;
mod file;
mod rights;
mod snapshot;
mod store;

pub use error::{FileProblem, RbacError};
pub use rights::{Identity, Right};
pub use store::{ClientStore, PROTECTED_CLIENT};
