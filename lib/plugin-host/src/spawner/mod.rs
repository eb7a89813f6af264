//! A process whose only business is to start those of isolated plugins.
//!
//! A program that gives up root, or system calls with it, cannot start them any more, and isolated plugins are started
//! again after every crash. So it starts a spawner while it still can: [`Spawner::start`], before the filter of system
//! calls and, where plugins are to run as somebody else, before the change of user. The spawner ends with its program,
//! and with the spawner all plugins. It is two processes: one that does the work, and one that starts that one again
//! where somebody kills it.

mod guardian;
mod server;
mod wire;

use std::{
    collections::HashMap,
    env, fmt, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use tokio::sync::oneshot;

use self::wire::{Reply, Request};
use super::isolated::{ChildCommand, RunAs};

/// The hidden subcommand of a program that has a spawner.
const PLUGIN_SPAWNER: &str = "plugin-spawner";

/// Where this process was started to be a spawner, is one until its program ends, and tells with what to leave `main`.
pub(super) fn run_if_spawner() -> Option<ExitCode> {
    let mut words = env::args_os().skip(1);
    if words.next().is_none_or(|word| word != PLUGIN_SPAWNER) {
        return None;
    }
    let words: Vec<String> = words.filter_map(|word| word.into_string().ok()).collect();
    Some(server::main(&words))
}

/// For the spawner to end.
const GOODBYE: Duration = Duration::from_secs(2);

/// A spawner, as its program sees it.
#[derive(Clone)]
pub struct Spawner(Arc<Shared>);

struct Shared {
    socket: Arc<OwnedFd>,
    reader: OnceLock<()>,
    waiting: Arc<Mutex<Waiting>>,
    /// Only for reaping it at the end.
    process: Mutex<Child>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    closed: bool,
    starts: HashMap<
        u64,
        (
            oneshot::Sender<io::Result<Spawned>>,
            oneshot::Receiver<ExitStatus>,
        ),
    >,
    ends: HashMap<u64, oneshot::Sender<ExitStatus>>,
}

/// A process that the spawner has started.
pub(super) struct Spawned {
    pub(super) id: u64,
    pub(super) pid: u32,
    /// The number of the plugin's copy in it.
    pub(super) copy: i32,
    /// Standard input, output and error, and a descriptor that is readable once it has ended.
    pub(super) descriptors: [OwnedFd; 4],
    /// How it ended. The sender is gone where the spawner is.
    pub(super) end: oneshot::Receiver<ExitStatus>,
}

impl Spawner {
    /// Starts `program`, whose `main` begins with [`run_if_child`](super::run_if_child), as a spawner.
    ///
    /// Where this process is root, the spawner becomes the user `own`, as this process is about to, and keeps the
    /// capabilities to start plugins as `plugins`; its filter of system calls allows it to become nobody else. Where
    /// this process is not root, the spawner and all plugins are the user that it is, without its capabilities.
    ///
    /// # Errors
    /// What the system says, or that plugins would be root.
    pub fn start(program: &ChildCommand, own: RunAs, plugins: RunAs) -> io::Result<Self> {
        if plugins.uid == 0 || plugins.gid == 0 {
            return Err(io::Error::other(
                "plugins do not run as root: name another user",
            ));
        }
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let numbers = [own.uid, own.gid, plugins.uid, plugins.gid];
        let process = Command::new(program.program())
            .arg(PLUGIN_SPAWNER)
            .args(numbers.map(|number| number.to_string()))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self(Arc::new(Shared {
            socket: Arc::new(ours),
            reader: OnceLock::new(),
            waiting: Arc::default(),
            process: Mutex::new(process),
        })))
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let process = self.0.process.lock();
        process.unwrap_or_else(PoisonError::into_inner).id()
    }

    /// Starts the process of a plugin.
    pub(super) async fn spawn(&self, copy: BorrowedFd<'_>, memory: u64) -> io::Result<Spawned> {
        self.listen()?;
        let (started, start) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let id = {
            let mut waiting = lock(&self.0.waiting);
            if waiting.closed {
                return Err(gone());
            }
            waiting.last += 1;
            let id = waiting.last;
            waiting.starts.insert(id, (started, end));
            waiting.ends.insert(id, ended);
            id
        };
        let request = Request::Start { id, memory };
        if let Err(error) = wire::send(self.0.socket.as_fd(), request, &[copy]) {
            lock(&self.0.waiting).forget(id);
            return Err(error);
        }
        start.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Ends a process and whatever it started.
    pub(super) fn kill(&self, id: u64) {
        // Where the spawner is gone, so are its processes.
        let _ = wire::send(self.0.socket.as_fd(), Request::Kill { id }, &[]);
    }

    /// Replies are read by a thread that is made with the first request: threads made before that would still have what
    /// the program is about to give up.
    fn listen(&self) -> io::Result<()> {
        if self.0.reader.set(()).is_err() {
            return Ok(());
        }
        let (socket, waiting) = (Arc::clone(&self.0.socket), Arc::clone(&self.0.waiting));
        thread::Builder::new()
            .name("couic-spawner".to_owned())
            .spawn(move || {
                while let Ok(Some((reply, descriptors))) = wire::receive(socket.as_fd()) {
                    lock(&waiting).take(reply, descriptors);
                }
                let mut waiting = lock(&waiting);
                waiting.closed = true;
                waiting.starts.clear();
                waiting.ends.clear();
            })?;
        Ok(())
    }
}

/// The end of the socket is what the spawner ends by. It is waited for, so that no plugin outlives this, but not for ever:
/// somebody may have stopped it.
impl Drop for Shared {
    fn drop(&mut self) {
        let _ = nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(&*self.socket),
            nix::sys::socket::Shutdown::Both,
        );
        let process = self.process.get_mut();
        let process = process.unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now() + GOODBYE;
        while matches!(process.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Waiting {
    fn forget(&mut self, id: u64) {
        self.starts.remove(&id);
        self.ends.remove(&id);
    }

    fn take(&mut self, reply: Reply, descriptors: Vec<OwnedFd>) {
        match reply {
            Reply::Started { id, pid, copy } => {
                let Some((start, end)) = self.starts.remove(&id) else {
                    return;
                };
                let spawned = descriptors.try_into().map(|descriptors| Spawned {
                    id,
                    pid,
                    copy,
                    descriptors,
                    end,
                });
                let _ = start.send(spawned.map_err(|_| gone()));
            }
            Reply::Failed { id, errno } => {
                if let Some((start, _)) = self.starts.remove(&id) {
                    let _ = start.send(Err(io::Error::from_raw_os_error(errno)));
                }
                self.forget(id);
            }
            Reply::Ended { id, status } => {
                if let Some(end) = self.ends.remove(&id) {
                    let _ = end.send(ExitStatus::from_raw(status));
                }
            }
            // Whoever waits hears that the spawner is gone, and asks again.
            Reply::Anew => {
                self.starts.clear();
                self.ends.clear();
            }
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone() -> io::Error {
    io::Error::other(
        "the process that starts plugins has ended: where it is not started again at once, restart the program",
    )
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").field("pid", &self.pid()).finish()
    }
}
