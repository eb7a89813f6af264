//! Writing checkpoints on a thread of its own: a disk that is slow or full does not keep lines waiting.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::{Condvar, Mutex};

use crate::{
    CHECKPOINT_EVERY,
    figures::{Counters, count},
};

/// Largest checkpoint that is read: far more than the bounds on files and gaps allow to be written.
const MAX_SIZE: u64 = 16 << 20;

/// The checkpoint file of one source.
pub(crate) struct Saver {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    counters: Arc<Counters>,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// The newest content that is not written yet.
    content: Option<Vec<u8>>,
    /// It could not be written, and waits for the next attempt.
    failed: bool,
    writing: bool,
    quit: bool,
}

impl Saver {
    /// Reads what the last run left; `None` if there is nothing.
    pub(crate) fn load(path: &Path) -> io::Result<Option<Vec<u8>>> {
        match couic_files::read_regular(path, MAX_SIZE) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn new(path: PathBuf, counters: Arc<Counters>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            path,
            counters,
            state: Mutex::default(),
            wake: Condvar::new(),
        });
        let thread = thread::Builder::new().name("checkpoints".to_owned());
        let thread = thread.spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Writes this content soon; one that waits is replaced.
    pub(crate) fn save(&self, content: Vec<u8>) {
        let mut state = self.shared.state.lock();
        state.content = Some(content);
        state.failed = false;
        drop(state);
        self.shared.wake.notify_all();
    }

    /// Waits until everything is written, or could not be.
    pub(crate) fn settle(&self) {
        let mut state = self.shared.state.lock();
        while state.writing || (state.content.is_some() && !state.failed) {
            self.shared.wake.wait(&mut state);
        }
    }
}

impl Drop for Saver {
    /// What waits is not written: call [`Saver::settle`] before.
    fn drop(&mut self) {
        self.shared.state.lock().quit = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has no panics of its own.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut failing = false;
        let mut state = self.state.lock();
        loop {
            if state.quit {
                return;
            }
            if state.failed {
                if self.wake.wait_for(&mut state, CHECKPOINT_EVERY).timed_out() {
                    state.failed = false;
                }
                continue;
            }
            let Some(content) = state.content.take() else {
                self.wake.wait(&mut state);
                continue;
            };
            state.writing = true;
            drop(state);
            let written = self.write(&content, &mut failing);
            state = self.state.lock();
            state.writing = false;
            if !written && state.content.is_none() {
                state.content = Some(content);
                state.failed = true;
            }
            self.wake.notify_all();
        }
    }

    fn write(&self, content: &[u8], failing: &mut bool) -> bool {
        let path = self.path.display();
        match couic_files::replace_file(&self.path, 0o600, content) {
            Ok(()) => {
                count(&self.counters.checkpoints, 1);
                if std::mem::take(failing) {
                    tracing::info!("checkpoints are written again to {path}");
                }
                true
            }
            Err(error) => {
                count(&self.counters.errors, 1);
                if !std::mem::replace(failing, true) {
                    tracing::error!(
                        "cannot write the checkpoint {path}: {error}; reading goes on, and writing is tried again each 5 s. \
                         After a restart, lines read since then are counted again: make room or repair the directory"
                    );
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_checkpoint_that_cannot_be_written_is_counted_and_the_next_one_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/one");
        let counters = Arc::new(Counters::default());
        let saver = Saver::new(path.clone(), Arc::clone(&counters)).unwrap();
        assert_eq!(Saver::load(&path).unwrap(), None);
        saver.save(b"a".to_vec());
        saver.settle();
        assert_eq!(
            (counters.figures().errors, counters.figures().checkpoints),
            (1, 0)
        );
        fs::create_dir(dir.path().join("state")).unwrap();
        saver.save(b"b".to_vec());
        saver.settle();
        drop(saver);
        assert_eq!(
            (counters.figures().errors, counters.figures().checkpoints),
            (1, 1)
        );
        assert_eq!(Saver::load(&path).unwrap(), Some(b"b".to_vec()));
    }
}
