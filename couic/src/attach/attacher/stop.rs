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

/// For the process to exit once it is killed, which a driver may delay.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

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

    /// Waits for the exit of the process, and kills it after the deadline. Links that are not stored end with it.
    fn reap(&self, deadline: Instant) {
        let mut process = self.state.process.lock();
        if wait_until(&mut process, deadline).is_some() {
            return;
        }
        let (pid, state) = (self.pid, process_state(self.pid));
        let _ = process.kill();
        if wait_until(&mut process, Instant::now() + KILL_TIMEOUT).is_none() {
            tracing::error!(
                "killed the attacher (process {pid}, {state}), which did not exit in time: a driver blocks it even so, and \
                 what it has attached stays until the driver returns"
            );
            return;
        }
        let filter = match self.place {
            Place::Nowhere => "the kernel has detached the filter",
            Place::Store | Place::Pins => "the filter stays attached if its links are stored",
        };
        tracing::warn!(
            "killed the attacher (process {pid}, {state}), which did not exit in time; {filter}"
        );
    }
}

impl Drop for Attacher {
    fn drop(&mut self) {
        self.end(Instant::now() + EXIT_TIMEOUT);
    }
}
