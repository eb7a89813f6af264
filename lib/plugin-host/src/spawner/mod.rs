//! A process that only starts the processes of isolated plugins.
//!
//! A program that gives up root, or the system calls for it, cannot start them any more, and isolated plugins are
//! restarted after every crash. So it starts a spawner while it still can: [`Spawner::start`], before it installs its
//! seccomp filter and, if plugins run as another user, before it changes its user.
//!
//! What holds:
//! - The spawner ends with its program, and all plugins with the spawner.
//! - Every wait for the spawner has a timeout.
//! - It is not replaced: that would need privileges that the program has given up. Its death is detected at once, a stop
//!   or hang within seconds: [`Spawner::problem`] reports it with the remedy.

mod pending;
mod server;
mod wire;

use std::{
    fmt, io,
    os::fd::BorrowedFd,
    process::Child,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use couic_privsep::{Channel, Role, describe, wait_until};
use nix::sys::{
    socket::{setsockopt, sockopt::ReceiveTimeout},
    time::{TimeVal, TimeValLike},
};
use tokio::time::timeout;

use self::{
    pending::Pending,
    wire::{Reply, Request},
};
use super::isolated::{ChildCommand, RunAs};

pub(super) use pending::Spawned;

/// The spawner as a child process.
pub const PLUGIN_SPAWNER: Role = Role {
    name: "plugin-spawner",
    run: server::run,
};

/// Between two pings, in seconds.
const PING: i64 = 2;
/// A spawner that is silent for longer is reported.
const SILENCE: Duration = Duration::from_secs(4);
/// How long the spawner may take to start a process.
const START: Duration = Duration::from_secs(10);
/// How long the spawner may take to end.
const GOODBYE: Duration = Duration::from_secs(2);

/// A spawner, as its program sees it.
#[derive(Clone)]
pub struct Spawner(Arc<Inner>);

struct Inner {
    channel: Arc<Channel>,
    reader: OnceLock<()>,
    pending: Arc<Mutex<Pending>>,
    process: Mutex<Child>,
}

impl Spawner {
    /// Starts `program`, whose `main` begins with [`run_if_child`](crate::run_if_child), as a spawner.
    ///
    /// If this process is root, the spawner becomes the user `own`, as this process is about to, and keeps the
    /// capabilities to start plugins as `plugins`; its seccomp filter allows no other change of user. Otherwise the
    /// spawner and all plugins run as the user of this process, without its capabilities.
    ///
    /// # Errors
    /// An error of a system call, or plugins would run as root.
    pub fn start(program: &ChildCommand, own: RunAs, plugins: RunAs) -> io::Result<Self> {
        if plugins.uid == 0 || plugins.gid == 0 {
            return Err(io::Error::other(
                "plugins do not run as root: name another user",
            ));
        }
        let numbers = [own.uid, own.gid, plugins.uid, plugins.gid];
        let numbers = numbers.map(|number| number.to_string());
        let (channel, process) = PLUGIN_SPAWNER.start(program.program(), &numbers)?;
        setsockopt(&channel, ReceiveTimeout, &TimeVal::seconds(PING))?;
        Ok(Self(Arc::new(Inner {
            channel: Arc::new(channel),
            reader: OnceLock::new(),
            pending: Arc::default(),
            process: Mutex::new(process),
        })))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        lock(&self.0.process).id()
    }

    /// Why isolated notifiers cannot be restarted, and the remedy, as a predicate whose subject is the notifier's name.
    /// `None` while the spawner answers. Never waits.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.lost().or_else(|| {
            let silent = lock(&self.0.pending).silent_for();
            (silent >= SILENCE).then(|| {
                let (pid, seconds) = (self.pid(), silent.as_secs());
                format!(
                    "cannot be started again: the process that starts isolated notifiers (plugin-spawner, pid {pid}) has \
                     not answered for {seconds} s. Run kill -CONT {pid}, and if that does not help, systemctl restart couic"
                )
            })
        })
    }

    /// The [`problem`](Self::problem) of a spawner that has ended, which is final.
    pub(super) fn lost(&self) -> Option<String> {
        if !lock(&self.0.pending).closed {
            return None;
        }
        let status = lock(&self.0.process).try_wait().ok().flatten();
        let how = status.map_or_else(|| "has ended".to_owned(), describe);
        Some(format!(
            "does not run: the process that starts isolated notifiers (plugin-spawner) {how}, and cannot be replaced. Its \
             queue is kept; run systemctl restart couic"
        ))
    }

    /// Starts the process of a plugin.
    pub(super) async fn spawn(&self, copy: BorrowedFd<'_>, memory: u64) -> io::Result<Spawned> {
        self.listen()?;
        let (id, started) = lock(&self.0.pending).start()?;
        let request = Request::Start { id, memory };
        if let Err(error) = self.0.channel.try_send(&request, Some(copy)) {
            lock(&self.0.pending).forget(id);
            return Err(error);
        }
        match timeout(START, started).await {
            Ok(started) => started.unwrap_or_else(|_| Err(gone())),
            Err(_) => {
                lock(&self.0.pending).forget(id);
                // It may start later.
                self.kill(id);
                Err(silent())
            }
        }
    }

    /// Kills a process and its descendants.
    pub(super) fn kill(&self, id: u64) {
        // On error the spawner is gone, and its processes with it.
        let _ = self.0.channel.try_send(&Request::Kill { id }, None);
    }

    /// Replies are read by a thread that is started with the first request: an earlier one would keep the privileges
    /// that the program is about to give up.
    fn listen(&self) -> io::Result<()> {
        if self.0.reader.set(()).is_err() {
            return Ok(());
        }
        let (channel, pending) = (Arc::clone(&self.0.channel), Arc::clone(&self.0.pending));
        thread::Builder::new()
            .name("couic-spawner".to_owned())
            .spawn(move || read(&channel, &pending))?;
        Ok(())
    }
}

/// Reads replies until the spawner is gone, and pings it while it is idle.
fn read(channel: &Channel, pending: &Mutex<Pending>) {
    loop {
        match channel.receive::<Reply>() {
            Ok(Some((reply, descriptor))) => lock(pending).answer(reply, descriptor),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if lock(pending).ping() {
                    // A full socket is a spawner that does not read: the ping counts as sent.
                    let _ = channel.try_send(&Request::Ping, None);
                }
            }
            Ok(None) | Err(_) => return lock(pending).close(),
        }
    }
}

/// The spawner ends with the channel. Its end is awaited, so that no plugin outlives this process, with a timeout: the
/// spawner may be stopped.
impl Drop for Inner {
    fn drop(&mut self) {
        self.channel.hang_up();
        let process = self.process.get_mut();
        let process = process.unwrap_or_else(PoisonError::into_inner);
        if wait_until(process, Instant::now() + GOODBYE).is_none() {
            // A confined program may not kill it; the plugins' pipes are closed anyway.
            let _ = process.kill();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone() -> io::Error {
    io::Error::other(
        "the process that starts isolated notifiers (plugin-spawner) has ended: run systemctl restart couic",
    )
}

pub(super) fn silent() -> io::Error {
    io::Error::other("the process that starts isolated notifiers (plugin-spawner) does not answer")
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").field("pid", &self.pid()).finish()
    }
}
