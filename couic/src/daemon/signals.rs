//! The three signals that mean "end well", and all those that must not end a firewall by surprise: SIGHUP, which comes
//! when the terminal of a daemon in the foreground goes away, or from somebody who means "reload", SIGUSR1 and the like.

use std::{future::poll_fn, io, task::Poll};

use couic_privsep::stray_signals;
use nix::sys::signal::Signal as Name;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT and SIGQUIT, caught from the moment this is made: one that comes during the start is obeyed when it is
/// done. And those that would end the process without being meant to.
#[derive(Debug)]
pub(super) struct Signals {
    ending: Vec<(i32, Signal)>,
    stray: Vec<(i32, Signal)>,
}

impl Signals {
    /// Call it inside of the runtime.
    pub(super) fn catch() -> io::Result<Self> {
        let caught = |number| Ok((number, signal(SignalKind::from_raw(number))?));
        let ending = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT].into_iter();
        // The last one cannot be caught with tokio's means: it is ignored without a word.
        let stray = stray_signals().filter(|number| *number != libc::SIGRTMAX());
        Ok(Self {
            ending: ending.map(caught).collect::<io::Result<_>>()?,
            stray: stray.map(caught).collect::<io::Result<_>>()?,
        })
    }

    /// Waits for one that means an end.
    pub(super) async fn first(mut self) {
        let ending = loop {
            tokio::select! {
                number = next(&mut self.ending) => break number,
                number = next(&mut self.stray) => tell(number),
            }
        };
        let name = name(ending);
        tracing::info!("{name}: finishing what is being answered, then stopping");
    }
}

/// The number of the one that comes next.
async fn next(signals: &mut [(i32, Signal)]) -> i32 {
    poll_fn(|context| {
        let come = signals.iter_mut().find_map(|(number, signal)| {
            let come = signal.poll_recv(context).is_ready();
            come.then_some(*number)
        });
        come.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

fn tell(number: i32) {
    let name = name(number);
    if number == libc::SIGHUP {
        tracing::info!("{name}: nothing to do; set files are read again by couicctl sets reload");
    } else {
        tracing::warn!("{name} was sent by somebody, and ends nothing; SIGTERM ends couic");
    }
}

fn name(number: i32) -> String {
    match Name::try_from(number) {
        Ok(name) => name.as_str().to_owned(),
        Err(_) => format!("signal {number}"),
    }
}
