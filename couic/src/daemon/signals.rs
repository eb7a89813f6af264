//! The two signals that mean "end well", and the one that must not end a firewall: SIGHUP, which comes when the
//! terminal of a daemon in the foreground goes away, or from somebody who means "reload".

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, caught from the moment this is made: one that comes during the start is obeyed when it is done.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Call it inside of the runtime.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for either of the two.
    pub(super) async fn first(mut self) {
        let name = loop {
            tokio::select! {
                _ = self.terminate.recv() => break "SIGTERM",
                _ = self.interrupt.recv() => break "SIGINT",
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP: nothing to do; set files are read again by couicctl sets reload");
                }
            }
        };
        tracing::info!("{name}: finishing what is being answered, then stopping");
    }
}
