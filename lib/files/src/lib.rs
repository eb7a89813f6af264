//! Atomic replacement, ownership and modes of files, and disks that cannot be written.
//!
//! Guarantees:
//! - A file is complete or absent, on the disk when the call returns, and never readable by other users, not even for a
//!   moment.
//! - Files that root creates belong to the owner of their directory.
//! - What is read is a regular file, bounded, and no symbolic link leads out of the directory that is meant.
//! - A directory that other users may write to is refused, with the command that repairs it.
//! - Root neither writes to nor gives away a file that has a second name.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! let dir = tempfile::tempdir()?;
//! let file = dir.path().join("panic.json");
//! couic_files::replace_file(&file, 0o600, b"{}")?;
//! assert_eq!(std::fs::read(&file)?, b"{}");
//! couic_files::remove_file(&file)?;
//! # Ok(())
//! # }
//! ```

mod account;
mod dir_error;
mod disk;
mod inspect;
mod own;
mod read;
mod workdir;
mod write;

pub use account::Account;
pub use dir_error::DirError;
pub use disk::{advice, mount_of, refuses_data};
pub use inspect::{inspect_log_dir, inspect_working_dir};
pub use own::{Standing, give_to, is_foreign_link, open_own};
pub use read::{open_beneath, read_bounded, read_regular, shown_name};
pub use workdir::{check_process_user, check_working_dir};
pub use write::{create_file, create_new, ensure_dir, owner_name, remove_file, replace_file};
