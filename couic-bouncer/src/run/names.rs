//! The files by which the C library looks up names.
//!
//! Landlock knows files, not names: a resolv.conf that is replaced, as by a DHCP client, is another file, which this process
//! may not read. It has to be started again then, which loses nothing. Where these files are links into a directory of the
//! resolver, as with systemd-resolved, they are never replaced.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

const FILES: [&str; 3] = ["/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/hosts"];

/// Directories of resolvers, which are read as a whole.
const DIRS: [&str; 2] = ["/run/", "/mnt/wsl/"];

/// Each file with its device and inode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(Vec<(PathBuf, Option<(u64, u64)>)>);

impl Names {
    /// Those of now that may be replaced.
    pub(crate) fn now() -> Self {
        let files = FILES.iter().map(Path::new);
        Self::of(files.filter(|path| !is_followed(path)))
    }

    fn of<'p>(files: impl Iterator<Item = &'p Path>) -> Self {
        Self(files.map(|path| (path.to_owned(), id(path))).collect())
    }

    /// The first that is another one by now. One that is gone is not: a new one follows.
    pub(crate) fn replaced(&self) -> Option<&Path> {
        let mut files = self.0.iter();
        let other = files.find(|(path, before)| {
            let now = id(path);
            now.is_some() && now != *before
        });
        other.map(|(path, _)| path.as_path())
    }
}

fn is_followed(path: &Path) -> bool {
    let target = path.canonicalize().unwrap_or_default();
    DIRS.iter().any(|dir| target.starts_with(dir))
}

/// stat(2) is not subject to Landlock.
fn id(path: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_is_told_and_one_that_is_written_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        fs::write(&one, "a").unwrap();
        let names = Names::of([&*one, &*other].into_iter());
        fs::write(&one, "b").unwrap();
        assert_eq!(names.replaced(), None);
        let new = dir.path().join("new");
        fs::write(&new, "c").unwrap();
        fs::rename(&new, &one).unwrap();
        assert_eq!(names.replaced(), Some(&*one));
        fs::remove_file(&one).unwrap();
        assert_eq!(names.replaced(), None);
        fs::write(&other, "d").unwrap();
        assert_eq!(names.replaced(), Some(&*other));
    }
}
