//! What the daemon may do, whose files these are, and that one daemon works with them.
//!
//! - What the daemon makes belongs to the configured user, is whole or not there, and is never readable by others, not
//!   even for a moment. What it finds must be owned as the configuration says; every refusal names the command that
//!   mends it.
//! - It is the configured user before it reads what others wrote ([`lower_to_user`]), and has no privilege on any thread
//!   before it answers anybody ([`give_up`]). What goes on needing capabilities is a process of its own, which can do
//!   little else ([`confine_attacher`]).

mod attacher;
mod config_file;
mod error;
mod give_up;
mod inspect;
mod leftover;
mod lock;
mod needed;
mod sandbox;
mod serving;
mod socket;
mod user;
mod workdir;

pub use attacher::confine_attacher;
pub use config_file::check_config_file;
pub use error::PrivilegeError;
pub use give_up::{Hardening, give_up};
pub use inspect::{inspect_log_dir, inspect_working_dir};
pub use lock::{AttacherLock, LockError, WorkLock};
pub use needed::check_capabilities;
pub use sandbox::files as files_of;
pub use socket::{ListeningSocket, SocketError, SocketPlace};
pub use user::lower_to_user;
pub use workdir::{DirError, check_process_user, check_working_dir};
