//! Files beside a log: where rotation put what it was.

use std::{
    fs::{self, File, Metadata},
    os::unix::fs::DirEntryExt,
    path::{Path, PathBuf},
};

use super::{
    identity::{FileId, head},
    tailed::open,
};

/// Siblings that are opened at most: a directory of 100,000 files must not keep live lines waiting.
const MAX: usize = 1_024;

pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) is: Metadata,
    pub(super) id: FileId,
    pub(super) len: u64,
    pub(super) head: Vec<u8>,
}

/// The regular files in the directory of `log` that are `wanted`, by path and inode, and can be read; oldest change first.
pub(super) fn siblings(log: &Path, wanted: impl Fn(&Path, u64) -> bool) -> Vec<Sibling> {
    let Some(Ok(entries)) = log.parent().map(fs::read_dir) else {
        return Vec::new();
    };
    let named = entries.flatten().map(|entry| (entry.path(), entry.ino()));
    let wanted = named.filter(|(path, ino)| path.to_str().is_some() && wanted(path, *ino));
    let mut found: Vec<Sibling> = wanted
        .take(MAX)
        .filter_map(|(path, _)| look_at(path))
        .collect();
    found.sort_by_key(|sibling| sibling.is.modified().ok());
    found
}

fn look_at(path: PathBuf) -> Option<Sibling> {
    let file = open(&path).ok()?;
    let is = file.metadata().ok()?;
    let (head, len) = head(&file).ok()?;
    Some(Sibling {
        id: FileId::of(&is),
        len: is.len(),
        head: head.get(..len)?.to_vec(),
        path,
        file,
        is,
    })
}
