//! Logs of the program itself: as a source they would feed themselves.

use std::{
    collections::HashSet,
    fs, io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use nix::sys::stat::fstat;

use super::names::is_rotated;

/// Logs of the program itself.
pub(crate) struct OwnLog {
    paths: Vec<PathBuf>,
    /// All that these paths have been, and the standard streams.
    seen: HashSet<(u64, u64)>,
}

impl OwnLog {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let paths = paths.into_iter().map(|path| {
            let parent = path
                .parent()
                .and_then(|parent| fs::canonicalize(parent).ok());
            match (parent, path.file_name()) {
                (Some(parent), Some(name)) => parent.join(name),
                _ => path,
            }
        });
        let mut own = Self {
            paths: paths.collect(),
            seen: HashSet::new(),
        };
        for stream in [io::stdout().as_fd(), io::stderr().as_fd()] {
            if let Ok(is) = fstat(stream) {
                own.seen.insert((is.st_dev, is.st_ino));
            }
        }
        own.look_at_rotated();
        own
    }

    /// Those of earlier runs, which may have other names besides.
    fn look_at_rotated(&mut self) {
        for own in &self.paths {
            let entries = own.parent().and_then(|dir| fs::read_dir(dir).ok());
            for entry in entries.into_iter().flatten().flatten() {
                if is_rotated(own, &entry.path())
                    && let Ok(is) = entry.metadata()
                {
                    self.seen.insert(key(&is));
                }
            }
        }
    }

    /// Looks at the paths again: own logs are rotated as well.
    fn look(&mut self) {
        for path in &self.paths {
            if let Ok(is) = fs::metadata(path) {
                self.seen.insert(key(&is));
            }
        }
    }

    /// Whether a file is one of them, or one that was rotated.
    pub(crate) fn has(&mut self, path: &Path, is: &fs::Metadata) -> bool {
        self.look();
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.seen.contains(&key(is))
            || self
                .paths
                .iter()
                .any(|own| *own == real || is_rotated(own, &real))
    }
}

fn key(is: &fs::Metadata) -> (u64, u64) {
    (is.dev(), is.ino())
}
