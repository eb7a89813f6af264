//! What has been told already: a file that cannot be read is tried each second, and told once.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// Problems remembered; beyond, they are told again.
const MAX: usize = 1_024;

#[derive(Default)]
pub(super) struct Told(HashMap<PathBuf, String>);

impl Told {
    /// Tells of a problem, unless it is the same as before. Returns whether it was told.
    pub(super) fn problem(&mut self, path: &Path, why: &str) -> bool {
        if self.0.get(path).is_some_and(|before| before == why) {
            return false;
        }
        tracing::warn!(path = %path.display(), "not read: {why}");
        if self.0.len() < MAX {
            self.0.insert(path.to_owned(), why.to_owned());
        }
        true
    }

    /// It is read now.
    pub(super) fn settled(&mut self, path: &Path) {
        if self.0.remove(path).is_some() {
            tracing::info!(path = %path.display(), "read from now on");
        }
    }
}
