//! The three signals that request shutdown, SIGHUP that requests a reload, and those that must not end a firewall by
//! surprise: SIGUSR1 and the like. A closed terminal sends SIGHUP to a daemon in the foreground: a reload does no harm.

use std::{future::poll_fn, io, task::Poll};

use couic_privsep::stray_signals;
use nix::sys::signal::Signal as Name;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT and SIGQUIT, which are handled after the start if they arrive during it; and signals that would end
/// the process by default.
#[derive(Debug)]
pub(super) struct Signals {
    terminating: Vec<(i32, Signal)>,
    stray: Vec<(i32, Signal)>,
}

impl Signals {
    /// Call it within the runtime.
    pub(super) fn catch() -> io::Result<Self> {
        let caught = |number| Ok((number, signal(SignalKind::from_raw(number))?));
        let terminating = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT].into_iter();
        // Tokio cannot catch the last one: it is ignored without a log line.
        let stray = stray_signals().filter(|number| *number != libc::SIGRTMAX());
        Ok(Self {
            terminating: terminating.map(caught).collect::<io::Result<_>>()?,
            stray: stray.map(caught).collect::<io::Result<_>>()?,
        })
    }

    /// Waits for the first signal that requests shutdown. Calls `reload` at each SIGHUP.
    pub(super) async fn first(mut self, reload: impl Fn()) {
        let terminating = loop {
            tokio::select! {
                number = next(&mut self.terminating) => break number,
                number = next(&mut self.stray) => match number {
                    libc::SIGHUP => reload(),
                    other => log_stray(other),
                },
            }
        };
        let name = name(terminating);
        tracing::info!("{name}: answering requests in progress, then stopping");
    }
}

/// The number of the next signal.
async fn next(signals: &mut [(i32, Signal)]) -> i32 {
    poll_fn(|context| {
        let received = signals.iter_mut().find_map(|(number, signal)| {
            let ready = signal.poll_recv(context).is_ready();
            ready.then_some(*number)
        });
        received.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

fn log_stray(number: i32) {
    let name = name(number);
    tracing::warn!("{name} is ignored; to stop couic, send SIGTERM");
}

fn name(number: i32) -> String {
    match Name::try_from(number) {
        Ok(name) => name.as_str().to_owned(),
        Err(_) => format!("signal {number}"),
    }
}
