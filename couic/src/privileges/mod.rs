//! Whose files these are: what the daemon makes in its working directory belongs to the configured user, is whole or
//! not there, and is never readable by others, not even for a moment.

mod files;

pub use files::{create_file, ensure_dir, owner_name};
