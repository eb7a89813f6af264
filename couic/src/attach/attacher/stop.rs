//! The end of the attacher, in bounded time: it may be stopped (SIGSTOP), or blocked in a driver.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use couic_privsep::wait_until;

use super::Attacher;
use crate::attach::{
    orphan::process_state,
    pins::Place,
    wire::{Message, Request},
};

/// For the process to detach the filter, if it does, and to exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

impl Attacher {
    /// Ends the process. Returns whether the filter stays attached, because its links are stored; otherwise it is
    /// detached.
    #[must_use]
    pub fn stop(mut self) -> bool {
        let deadline = Instant::now() + EXIT_TIMEOUT;
        let unsaved = self.state.report.lock().unsaved.is_some();
        let stays = self.place != Place::Nowhere && !unsaved;
        if self.place == Place::Nowhere && self.line.try_send(&Request::Detach, None).is_ok() {
            let answers = self.answers.lock();
            let left = || deadline.saturating_duration_since(Instant::now());
            while !matches!(answers.recv_timeout(left()), Ok(Message::Detached) | Err(_)) {}
        }
        self.end(deadline);
        stays
    }

    fn end(&mut self, deadline: Instant) {
        let Some(reader) = self.reader.take() else {
            return;
        };
        self.state.stopping.store(true, Ordering::Relaxed);
        self.line.hang_up();
        self.reap(deadline);
        // An error is a panic, which the hook has logged.
        let _ = reader.join();
    }

    /// Waits for the exit of the process until the deadline. One that is stopped is killed by the kernel as this process
    /// ends, which may not send signals itself.
    fn reap(&self, deadline: Instant) {
        if wait_until(&mut self.state.process.lock(), deadline).is_some() {
            return;
        }
        let (pid, state) = (self.pid, process_state(self.pid));
        let filter = match self.place {
            Place::Nowhere => "which detaches the filter",
            Place::Store | Place::Pins => "and the filter stays attached if its links are stored",
        };
        tracing::warn!(
            "the attacher (process {pid}, {state}) did not exit in time: the kernel kills it as couic ends, {filter}; if a \
             driver blocks it, as soon as that returns"
        );
    }
}

impl Drop for Attacher {
    fn drop(&mut self) {
        self.end(Instant::now() + EXIT_TIMEOUT);
    }
}
