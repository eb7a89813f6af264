//! Ctrl-C during work that must end in a known state.

use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::progress::Progress;
use crate::failure::Failure;

/// While this lives, SIGINT and SIGTERM do not end the process.
pub(super) struct Interrupt {
    signals: [Signal; 2],
    caught: bool,
}

impl Interrupt {
    pub(super) fn catch() -> Result<Self, Failure> {
        let failed = |e| Failure::Failed(format!("signal handlers cannot be installed: {e}"));
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Self {
            signals: [interrupt, terminate],
            caught: false,
        })
    }

    /// Whether a signal has come.
    pub(super) fn is_caught(&self) -> bool {
        self.caught
    }

    /// The result of `work`, whatever comes in between.
    pub(super) async fn after<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.wait() => self.caught = true,
            }
        }
    }

    /// Waits for a signal.
    pub(super) async fn wait(&mut self) {
        let [interrupt, terminate] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// A request that may take long, with its progress. Ctrl-C ends the waiting, and says that the daemon goes on.
pub(super) async fn watched<T>(
    what: &'static str,
    see: &str,
    request: impl Future<Output = T>,
) -> Result<T, Failure> {
    let mut interrupt = Interrupt::catch()?;
    let progress = Progress::waiting(what);
    let done = tokio::select! {
        biased;
        done = request => Some(done),
        () = interrupt.wait() => None,
    };
    drop(progress);
    done.ok_or_else(|| {
        let text = format!("interrupted while {what}: the daemon may still do it");
        Failure::Failed(text).hint(see)
    })
}
