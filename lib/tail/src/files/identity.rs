//! Which file this is: by inode, and by its first bytes where an inode says too little.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// Bytes of a fingerprint. The first line of a log has a time, so that two logs rarely begin alike.
pub(super) const HEAD: usize = 256;
/// Fewer bytes do not tell a copy from a file that begins alike by chance.
const TELLING: usize = 32;

/// A file as the kernel knows it; after its removal another may get the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct FileId {
    dev: u64,
    ino: u64,
}

impl FileId {
    pub(super) const fn ino(self) -> u64 {
        self.ino
    }

    pub(super) fn of(found: &Metadata) -> Self {
        Self {
            dev: found.dev(),
            ino: found.ino(),
        }
    }
}

/// A hash of the first bytes of a file, and of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Print {
    len: usize,
    hash: u64,
}

impl Print {
    /// Of a file that begins with `head`.
    pub(super) fn of(head: &[u8]) -> Self {
        let head = head.get(..HEAD).unwrap_or(head);
        Self {
            len: head.len(),
            hash: XxHash3_64::oneshot(head),
        }
    }

    /// Whether a file that begins with `head` may be the one of this fingerprint, grown since.
    pub(super) fn fits(&self, head: &[u8]) -> bool {
        let same = head.get(..self.len).map(XxHash3_64::oneshot);
        self.len == 0 || same == Some(self.hash)
    }

    /// Nothing is known yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it covers all the bytes that a fingerprint has.
    pub(super) const fn is_full(&self) -> bool {
        self.len == HEAD
    }

    /// Whether another file that [fits](Self::fits) is a copy.
    pub(super) const fn tells_copies(&self) -> bool {
        self.len >= TELLING
    }
}

/// The first bytes of a file.
pub(super) fn head(file: &File) -> io::Result<([u8; HEAD], usize)> {
    let mut head = [0; HEAD];
    let mut len = 0;
    while let Some(rest) = head.get_mut(len..)
        && !rest.is_empty()
    {
        match file.read_at(rest, len as u64)? {
            0 => break,
            n => len += n,
        }
    }
    Ok((head, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_fits_the_file_as_it_grows_and_no_other() {
        let print = Print::of(b"[01/Dec/2026] one");
        assert!(print.fits(b"[01/Dec/2026] one and more"));
        assert!(!print.fits(b"[01/Dec/2026] two and more"));
        assert!(!print.fits(b"[01/Dec"), "shorter: truncated");
        assert!(!print.tells_copies());
        assert!(Print::default().fits(b"anything") && Print::of(b"").is_empty());
        let long = [7; HEAD + 9];
        assert_eq!(Print::of(&long), Print::of(&long[..HEAD]));
        assert!(Print::of(&long).is_full() && Print::of(&long).tells_copies());
    }
}
