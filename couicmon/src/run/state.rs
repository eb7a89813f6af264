//! The files in `state_dir` besides the checkpoints: the ladder, and bans that are not sent yet.

use std::{
    io,
    path::{Path, PathBuf},
};

use couic_detect::LadderRow;
use couic_files::{read_regular, replace_file};
use couic_inject::{Injector, Limits, Pending};
use tracing::{error, warn};

/// The first line of the ladder's file, with its version.
const MAGIC: &str = "couicmon-ladder-1";

/// The largest file of a ladder, in bytes: 16 million rows.
const LARGEST: u64 = 2 << 30;

/// The mode of the files.
const MODE: u32 = 0o600;

/// The state of a run.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
    /// What the ladder's file has, to write it only if it changes.
    written: parking_lot::Mutex<Option<Vec<u8>>>,
}

impl State {
    /// In this directory, which exists.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            written: parking_lot::Mutex::default(),
        }
    }

    fn ladder(&self) -> PathBuf {
        self.dir.join("ladder")
    }

    fn pending(&self) -> PathBuf {
        self.dir.join("pending")
    }

    /// Gives an injector what a former run could not send.
    pub(crate) fn restore_pending(&self, injector: &Injector) {
        let path = self.pending();
        match Pending::load(&path, Limits::default()) {
            Ok(loaded) => injector.restore(loaded.pending),
            Err(error) => error!("bans that were not sent are lost: {} cannot be read: {error}", path.display()),
        }
    }
}
