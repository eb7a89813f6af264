//! What is kept between two runs: how far each file is read, and the gaps.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::identity::{FileId, Print};

/// The checkpoint of a source of files. Whole lines before `offset` have been handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// A file that is new to other patterns may be old, so that it is read from its end.
    pub(super) patterns: Vec<String>,
    /// When it was taken, in Unix milliseconds: everything that had happened to names until then is in it.
    pub(super) taken_ms: u64,
    pub(super) files: Vec<SavedFile>,
    /// Fingerprints of files as they were before they were truncated: their copies have been read.
    pub(super) past: Vec<Past>,
    pub(super) gaps: Vec<SavedGap>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedFile {
    pub(super) id: FileId,
    pub(super) path: PathBuf,
    pub(super) print: Print,
    pub(super) offset: u64,
    /// Whether it was found by its name.
    pub(super) named: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    pub(super) path: PathBuf,
    pub(super) print: Print,
    pub(super) offset: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedGap {
    pub(super) id: FileId,
    pub(super) path: PathBuf,
    pub(super) print: Print,
    pub(super) at: u64,
    pub(super) end: u64,
}
