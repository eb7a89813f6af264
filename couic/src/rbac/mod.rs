//! Authentication and authorisation: client files, tokens, groups and their rights.
//!
//! What holds:
//! - A client file is created with mode 0600. A file with another mode, of another owner, with invalid content or with
//!   a token of another client fails the start; the message names the file and the fix.
//! - A token is on the disk and in memory as its hash; that of couicctl, which reads it from there, in plain text.
//! - A token is compared with every client's in constant time, so the time reveals only their number.
//! - Limits of a client hold at every door: see `api::scope`.
//! - Tokens are in no error and in no `Debug`.

mod digest;
mod error;
mod file;
mod record;
mod rights;
mod scope;
mod snapshot;
mod store;

pub use error::{FileProblem, RbacError, TokenError};
pub use record::NewClient;
pub use rights::{Identity, Right};
pub use scope::{Refusal, Scope, Wait};
pub use store::{ClientStore, PROTECTED_CLIENT};
