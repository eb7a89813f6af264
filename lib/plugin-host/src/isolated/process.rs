//! The process of an isolated plugin, and its confinement before exec.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use super::command::{child_command, done};
use crate::spawner::{self, Spawned, Spawner};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::{Gid, Group, Pid, Uid, User, geteuid},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::unix::pipe,
    process::Child,
    sync::oneshot,
    time::timeout,
};

/// How long a process that is killed may take to end, and a spawner to report it.
const END: Duration = Duration::from_secs(5);

/// A program whose `main` begins with [`run_if_child`](crate::run_if_child).
#[derive(Clone, Debug)]
pub struct ChildCommand {
    program: PathBuf,
}

impl ChildCommand {
    /// This program, even if its file was replaced since the start.
    #[must_use]
    pub fn itself() -> Self {
        Self::new("/proc/self/exe")
    }

    /// Another program.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        Self { program }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }
}

/// The user that plugins run as if this program is root. Otherwise plugins run as this program's user, without its
/// capabilities.
///
/// Evaluated at each start of a process. A program that gives up root while plugins run needs a [`Spawner`]: without
/// one, it could not kill a plugin of another user, and would restart it as its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// User.
    pub uid: u32,
    /// Group; without supplementary groups.
    pub gid: u32,
}

/// User IDs that no convention gives to anything: above the dynamic ones of systemd, below `nobody`.
const UNUSED: std::ops::RangeInclusive<u32> = 65_520..=65_533;

impl RunAs {
    /// The user of the plugins of a program that runs as `own`: `nobody`, or an unused ID if the program itself is `nobody`
    /// or in its group. A plugin that is its program's user could read its tokens.
    #[must_use]
    pub fn apart_from(own: Self) -> Self {
        let nobody = Self::default();
        if own.uid != nobody.uid && own.gid != nobody.gid {
            return nobody;
        }
        let is_free = |id: &u32| {
            let user = User::from_uid(Uid::from_raw(*id));
            let group = Group::from_gid(Gid::from_raw(*id));
            ![own.uid, own.gid].contains(id) && matches!((user, group), (Ok(None), Ok(None)))
        };
        let free = UNUSED.rev().find(is_free);
        free.map_or(nobody, |id| Self { uid: id, gid: id })
    }
}

impl Default for RunAs {
    /// `nobody`.
    fn default() -> Self {
        Self {
            uid: 65_534,
            gid: 65_534,
        }
    }
}

/// The environment of an isolated plugin.
#[derive(Clone, Debug)]
pub struct Isolation {
    /// How to start its process.
    pub command: ChildCommand,
    /// The user to run it as.
    pub run_as: RunAs,
    /// Its limit on data memory (`RLIMIT_DATA`), in bytes.
    pub memory: u64,
    /// Starts the process if this program cannot; has its own command and users.
    pub spawner: Option<Spawner>,
}

impl Isolation {
    /// As `nobody`, with 256 MiB.
    #[must_use]
    pub fn new(command: ChildCommand) -> Self {
        Self {
            command,
            run_as: RunAs::default(),
            memory: 256 << 20,
            spawner: None,
        }
    }

    /// Starts the process: pipes on 0, 1 and 2, and the sealed copy of the plugin.
    pub(super) async fn spawn(&self, copy: BorrowedFd<'_>) -> io::Result<Process> {
        if let Some(spawner) = &self.spawner {
            let spawned = spawner.spawn(copy, self.memory).await?;
            return Process::of_spawner(spawner.clone(), spawned);
        }
        let run_as = geteuid().is_root().then_some(self.run_as);
        if run_as.is_some_and(|run_as| run_as.uid == 0) {
            return Err(io::Error::other(
                "plugins do not run as root: name another user",
            ));
        }
        let command = child_command(self.command.program(), run_as, copy, self.memory, None);
        let mut command = tokio::process::Command::from(command);
        Process::of_ours(command.kill_on_drop(true).spawn()?, copy.as_raw_fd())
    }
}

/// A process that runs a plugin. It is ended when this is dropped.
pub(super) struct Process {
    pub(super) stdin: Option<pipe::Sender>,
    pub(super) stdout: Option<pipe::Receiver>,
    pub(super) stderr: Option<pipe::Receiver>,
    /// The number of the plugin's copy in it.
    pub(super) copy: RawFd,
    pub(super) pid: u32,
    /// Readable once it has ended, and before it is reaped: until then its pid is not reused.
    pub(super) death: AsyncFd<OwnedFd>,
    parent: Parent,
}

enum Parent {
    Ourselves(Child),
    Spawner {
        spawner: Spawner,
        id: u64,
        end: oneshot::Receiver<ExitStatus>,
        ended: bool,
    },
}

impl Process {
    fn of_ours(mut child: Child, copy: RawFd) -> io::Result<Self> {
        let pid = child.id().ok_or_else(|| io::Error::other("it has ended"))?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(io::Error::other("it has no pipes"));
        };
        Ok(Self {
            stdin: Some(pipe::Sender::from_owned_fd(stdin.into_owned_fd()?)?),
            stdout: Some(pipe::Receiver::from_owned_fd(stdout.into_owned_fd()?)?),
            stderr: Some(pipe::Receiver::from_owned_fd(stderr.into_owned_fd()?)?),
            copy,
            pid,
            death: watch(pidfd_of(pid)?)?,
            parent: Parent::Ourselves(child),
        })
    }

    fn of_spawner(spawner: Spawner, spawned: Spawned) -> io::Result<Self> {
        let Spawned {
            id,
            pid,
            copy,
            descriptors: [stdin, stdout, stderr, pidfd],
            end,
        } = spawned;
        let parent = Parent::Spawner {
            spawner,
            id,
            end,
            ended: false,
        };
        Ok(Self {
            stdin: Some(pipe::Sender::from_owned_fd(stdin)?),
            stdout: Some(pipe::Receiver::from_owned_fd(stdout)?),
            stderr: Some(pipe::Receiver::from_owned_fd(stderr)?),
            copy,
            pid,
            death: watch(pidfd)?,
            parent,
        })
    }

    /// Kills the process and its descendants. Must run before it is reaped: afterwards its pid may be reused.
    pub(super) fn kill(&self) {
        match &self.parent {
            Parent::Ourselves(child) => {
                if let Some(Ok(group)) = child.id().map(i32::try_from) {
                    // On error it has ended already.
                    let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
                }
            }
            Parent::Spawner { spawner, id, .. } => spawner.kill(*id),
        }
    }

    /// Waits for its end after [`kill`](Self::kill), and reaps it; not for long, since the kernel may block it, and a
    /// spawner may be stopped.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        match &mut self.parent {
            Parent::Ourselves(child) => match timeout(END, child.wait()).await {
                Ok(ended) => ended,
                Err(_) => Err(io::Error::other("it is killed, but blocked in the kernel")),
            },
            Parent::Spawner { end, ended, .. } => {
                let Ok(status) = timeout(END, end).await else {
                    return Err(spawner::silent());
                };
                *ended = true;
                status.map_err(|_| io::Error::other("the process that started it has ended"))
            }
        }
    }
}

/// A child of this process is killed by `kill_on_drop`.
impl Drop for Process {
    fn drop(&mut self) {
        if let Parent::Spawner { ended: false, .. } = &self.parent {
            self.kill();
        }
    }
}

/// The pidfd: readable once the process has ended, reaped or not.
pub(crate) fn pidfd_of(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    done(fd)?;
    // SAFETY: the kernel has just created this descriptor, and it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd keeps its descriptor for its lifetime.
    let death = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
    death.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_of_a_program_that_is_nobody_run_as_another_user() {
        let nobody = RunAs::default();
        let own = |uid, gid| RunAs::apart_from(RunAs { uid, gid });
        assert_eq!(own(4242, 4343), nobody);
        for (uid, gid) in [(65_534, 65_534), (65_534, 4343), (4242, 65_534)] {
            let RunAs { uid, gid } = own(uid, gid);
            assert!(UNUSED.contains(&uid) && uid == gid, "{uid} {gid}");
        }
        assert_ne!(own(65_533, 65_534).uid, 65_533);
    }
}
