//! Ctrl-C during work that must end in a known state.

use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::progress::Progress;
use crate::failure::Failure;

/// While this lives, SIGINT and SIGTERM do not end the process.
pub(crate) struct Interrupt {
    signals: [Signal; 2],
    hangup: Option<Signal>,
    caught: bool,
}

/// A signal that no longer ends the process.
pub(crate) fn caught(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|e| Failure::Failed(format!("signal handlers cannot be installed: {e}")))
}

impl Interrupt {
    pub(super) fn catch() -> Result<Self, Failure> {
        Ok(Self {
            signals: [
                caught(SignalKind::interrupt())?,
                caught(SignalKind::terminate())?,
            ],
            hangup: None,
            caught: false,
        })
    }

    /// Also SIGHUP, for what ends with its terminal. Work under nohup must not be ended by it.
    pub(crate) fn with_hangup() -> Result<Self, Failure> {
        Ok(Self {
            hangup: Some(caught(SignalKind::hangup())?),
            ..Self::catch()?
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
    pub(crate) async fn wait(&mut self) {
        let [interrupt, terminate] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            Some(_) = async { self.hangup.as_mut()?.recv().await } => {}
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
