//! Write access to files: the file system, or a test double that fills or breaks the disk.

use std::{
    fmt::Debug,
    fs::File,
    io::{self, Write},
    path::Path,
};

/// Creates, appends to and syncs files.
///
/// # Errors
/// Those of the corresponding system calls.
pub trait Medium: Debug + Send + Sync {
    /// Creates a file, which must not exist, with mode 0600.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Appends. On error, some of the bytes may be written.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()>;
    /// Flushes appended data to the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// The file system.
#[derive(Clone, Copy, Debug)]
pub struct FileSystem;

impl Medium for FileSystem {
    fn create(&self, path: &Path) -> io::Result<File> {
        couic_files::create_new(path, 0o600)
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}
