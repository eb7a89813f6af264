//! Whose files these are, and that one daemon works with them.
//!
//! What the daemon makes belongs to the configured user, is whole or not there, and is never readable by others, not
//! even for a moment. What it finds must be owned as the configuration says; every refusal names the command that
//! mends it.

mod files;
mod lock;
mod socket;
mod workdir;

pub use files::{create_file, create_new, ensure_dir, owner_name, remove_file, replace_file};
pub use lock::{LockError, WorkLock};
pub use socket::{ListeningSocket, SocketError};
pub use workdir::{DirError, check_process_user, check_working_dir};
