//! Who may do what: client files, tokens, groups and their rights.
//!
//! What holds:
//! - A client file is mode 0600 from its first moment, and one that is not, that belongs to somebody else, that cannot
//!   be read as a client or that shares its token stops the start with a message naming the file and the way out.
//! - A token is compared with every client's in constant time; how long it takes tells nothing but their number.
//! - Tokens are in no error and in no `Debug`.

mod error;
mod file;
mod rights;
mod snapshot;
mod store;

pub use error::{FileProblem, RbacError};
pub use rights::{Identity, Right};
pub use store::{ClientStore, PROTECTED_CLIENT};
