//! What stands before the place where reading begins: a record may be the rest of one before it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use memchr::memchr;

use super::{Files, identity::FileId, names::is_kin};

/// Bytes looked at.
const MOST: usize = 64 << 10;

impl Files {
    /// The whole lines before `offset`, where a line starts; nothing if it is the beginning of a log. `None` if that is not
    /// known: the file may go on with what another one ended with.
    pub(super) fn before(
        &self,
        path: &Path,
        file: &File,
        id: FileId,
        offset: u64,
    ) -> Option<Vec<u8>> {
        if offset > 0 {
            return lines_before(file, offset);
        }
        let known = self.known.values();
        let known = known
            .filter(|known| known.id != id)
            .map(|k| k.path.as_path());
        let past = self.past.iter().map(|past| past.path.as_path());
        let had_name = known.chain(past).any(|other| other == path);
        (!had_name && !has_kin(path)?).then(Vec::new)
    }
}

/// Whether rotation has left files of a log, compressed ones, too. Links are followed: rotation is where they lead to.
fn has_kin(path: &Path) -> Option<bool> {
    let path = fs::canonicalize(path).ok()?;
    let base = path.file_name()?.to_str()?;
    for entry in fs::read_dir(path.parent()?).ok()? {
        let other = entry.ok()?.path();
        let name = other.file_name().and_then(|name| name.to_str());
        let longer = name.is_some_and(|name| name.len() > base.len() && name.starts_with(base));
        if longer || other != path && is_kin(&path, &other) {
            return Some(true);
        }
    }
    Some(false)
}

fn lines_before(file: &File, offset: u64) -> Option<Vec<u8>> {
    let from = offset.saturating_sub(MOST as u64);
    let mut bytes = vec![0; usize::try_from(offset - from).ok()?];
    file.read_exact_at(&mut bytes, from).ok()?;
    if from > 0 {
        let first = memchr(b'\n', &bytes)? + 1;
        bytes.drain(..first);
    }
    bytes.ends_with(b"\n").then_some(bytes)
}
