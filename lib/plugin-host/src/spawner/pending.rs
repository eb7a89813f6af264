//! Pending replies of the spawner: processes that start or run, and the answer to a ping.

use std::{
    collections::HashMap,
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::ExitStatus,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{gone, wire::Reply};

/// A process that the spawner has started.
pub(crate) struct Spawned {
    pub(crate) id: u64,
    pub(crate) pid: u32,
    /// The number of the plugin's copy in it.
    pub(crate) copy: i32,
    /// Standard input, output and error, and the pidfd.
    pub(crate) descriptors: [OwnedFd; 4],
    /// Its exit status. The sender is dropped if the spawner ends.
    pub(crate) end: oneshot::Receiver<ExitStatus>,
}

/// A start that is not answered yet.
struct Start {
    started: oneshot::Sender<io::Result<Spawned>>,
    end: oneshot::Receiver<ExitStatus>,
    pipes: Vec<OwnedFd>,
}

#[derive(Default)]
pub(super) struct Pending {
    last: u64,
    /// The spawner has ended.
    pub(super) closed: bool,
    /// When the unanswered ping was sent.
    pinged: Option<Instant>,
    starts: HashMap<u64, Start>,
    ends: HashMap<u64, oneshot::Sender<ExitStatus>>,
}

impl Pending {
    /// Registers a new process. On error the spawner is gone.
    pub(super) fn start(&mut self) -> io::Result<(u64, oneshot::Receiver<io::Result<Spawned>>)> {
        if self.closed {
            return Err(gone());
        }
        self.last += 1;
        let (started, start) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let pending = Start {
            started,
            end,
            pipes: Vec::new(),
        };
        self.starts.insert(self.last, pending);
        self.ends.insert(self.last, ended);
        Ok((self.last, start))
    }

    pub(super) fn forget(&mut self, id: u64) {
        self.starts.remove(&id);
        self.ends.remove(&id);
    }

    /// Whether to send a ping: not while one is unanswered.
    pub(super) fn ping(&mut self) -> bool {
        let due = self.pinged.is_none();
        self.pinged.get_or_insert_with(Instant::now);
        due
    }

    /// How long the spawner has not answered.
    pub(super) fn silent_for(&self) -> Duration {
        self.pinged.map_or(Duration::ZERO, |at| at.elapsed())
    }

    /// Fails everything pending: the spawner is gone.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.starts.clear();
        self.ends.clear();
    }

    pub(super) fn answer(&mut self, reply: Reply, descriptor: Option<OwnedFd>) {
        self.pinged = None;
        match reply {
            Reply::Pipe { id } => {
                if let Some(start) = self.starts.get_mut(&id) {
                    start.pipes.extend(descriptor);
                }
            }
            Reply::Started { id, pid, copy } => {
                let Some(mut start) = self.starts.remove(&id) else {
                    return;
                };
                start.pipes.extend(descriptor);
                let spawned = start.pipes.try_into().map(|descriptors| Spawned {
                    id,
                    pid,
                    copy,
                    descriptors,
                    end: start.end,
                });
                let _ = start.started.send(spawned.map_err(|_| gone()));
            }
            Reply::Failed { id, errno } => {
                if let Some(start) = self.starts.remove(&id) {
                    let error = io::Error::from_raw_os_error(errno);
                    let _ = start.started.send(Err(error));
                }
                self.forget(id);
            }
            Reply::Ended { id, status } => {
                if let Some(end) = self.ends.remove(&id) {
                    let _ = end.send(ExitStatus::from_raw(status));
                }
            }
            Reply::Pong => {}
        }
    }
}
