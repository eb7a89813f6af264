//! The spawner's own process: it starts the processes of plugins, tells of their ends, and ends with its program.
//!
//! It is a copy of the process that was started for this, which waits to make another one should it be killed
//! ([`guardian`]). It has no thread beside the one that waits, no capability (or, where the program was started as root, the three that
//! make processes of another user and end them), and a filter of system calls that its children inherit: nothing that
//! concerns the kernel, other processes' memory or mounts, and of changes of user only the one to plugins' own.

use std::{
    collections::HashMap,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::{Child, ExitCode},
};

use couic_privsep::{
    CAP_KILL, CAP_SETGID, CAP_SETUID, Caps, Sets, ThreadStep,
    groups::KERNEL_ADMIN,
    hide_memory, lower,
    seccomp::{self, Arg, Calls},
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, killpg},
    unistd::{Pid, geteuid},
};

use super::{
    guardian,
    wire::{self, Reply, Request},
};
use crate::isolated::{RunAs, child_command, pidfd_of};

/// More notifiers than anybody has.
const MOST: usize = 256;

/// The whole life of a spawner. `words` are users and groups: the program's, and that of plugins.
pub(super) fn main(words: &[String]) -> ExitCode {
    let ended = prepare(words).and_then(|run_as| {
        guardian::keep_alive(|again| {
            if again {
                wire::send(io::stdin().as_fd(), Reply::Anew, &[])?;
            }
            Spawner::new(run_as).serve()
        })
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plugin spawner: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives up what it does not need, and answers whom plugins are to run as, where that can be chosen.
fn prepare(words: &[String]) -> io::Result<Option<RunAs>> {
    let numbers: Option<Vec<u32>> = words.iter().map(|word| word.parse().ok()).collect();
    let Some([uid, gid, plugin_uid, plugin_gid]) = numbers.as_deref() else {
        return Err(io::Error::other("is started by Couic, with four numbers"));
    };
    // They go to the whole group or control group when the program is stopped, which still needs its notifiers.
    couic_privsep::ignore_signals();
    // SAFETY: takes no pointer. Standard error stays, for last words; the socket is standard input.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    let run_as = geteuid().is_root().then_some(RunAs {
        uid: *plugin_uid,
        gid: *plugin_gid,
    });
    let keep = if run_as.is_some() {
        let keep = CAP_SETUID.and(CAP_SETGID).and(CAP_KILL);
        lower(*uid, *gid, keep)?;
        keep
    } else {
        Caps::NONE
    };
    ThreadStep::sets(Sets::to_use(keep))
        .bounding(Caps::NONE)
        .no_new_privs()
        .here()?;
    hide_memory()?;
    if let Err(error) = seccomp::refuse(&refused(run_as)).and_then(|filter| filter.install(true)) {
        eprintln!("plugin spawner: runs without a filter of system calls: {error}");
    }
    Ok(run_as)
}

fn refused(run_as: Option<RunAs>) -> Calls {
    let calls = Calls::default().all(KERNEL_ADMIN).all(&[
        libc::SYS_setfsgid,
        libc::SYS_setfsuid,
        libc::SYS_setgid,
        libc::SYS_setregid,
        libc::SYS_setreuid,
        libc::SYS_setuid,
    ]);
    let Some(RunAs { uid, gid }) = run_as else {
        return calls.all(&[
            libc::SYS_setgroups,
            libc::SYS_setresgid,
            libc::SYS_setresuid,
        ]);
    };
    let calls = calls.when(libc::SYS_setgroups, &[Arg::is_not(0, 0)]);
    (0..3).fold(calls, |calls, argument| {
        calls
            .when(libc::SYS_setresuid, &[Arg::is_not(argument, uid)])
            .when(libc::SYS_setresgid, &[Arg::is_not(argument, gid)])
    })
}

struct Spawner {
    run_as: Option<RunAs>,
    children: HashMap<u64, (Child, OwnedFd)>,
}

impl Spawner {
    fn new(run_as: Option<RunAs>) -> Self {
        Self {
            run_as,
            children: HashMap::new(),
        }
    }

    /// Until the program is gone, or says what makes no sense.
    fn serve(mut self) -> io::Result<()> {
        let stdin = io::stdin();
        let socket = stdin.as_fd();
        let served = loop {
            let (said, ended) = self.wait(socket)?;
            for id in ended {
                self.bury(socket, id)?;
            }
            if !said {
                continue;
            }
            match wire::receive(socket) {
                Ok(Some((request, descriptors))) => self.obey(socket, request, &descriptors)?,
                Ok(None) => break Ok(()),
                // Its end was closed with something unread in it.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        self.children.values().for_each(|(child, _)| end(child));
        served
    }

    /// Until the program says something, or a process has ended.
    fn wait(&self, socket: BorrowedFd<'_>) -> io::Result<(bool, Vec<u64>)> {
        let ids: Vec<u64> = self.children.keys().copied().collect();
        let watched = ids.iter().map(|id| self.children[id].1.as_fd());
        let mut watched: Vec<_> = std::iter::once(socket)
            .chain(watched)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        while let Err(errno) = poll(&mut watched, PollTimeout::NONE) {
            if errno != nix::errno::Errno::EINTR {
                return Err(errno.into());
            }
        }
        let has_news = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        let ended = ids.into_iter().zip(&watched[1..]);
        let ended = ended.filter(|(_, fd)| has_news(fd)).map(|(id, _)| id);
        Ok((has_news(&watched[0]), ended.collect()))
    }

    fn obey(
        &mut self,
        socket: BorrowedFd<'_>,
        request: Request,
        descriptors: &[OwnedFd],
    ) -> io::Result<()> {
        match request {
            Request::Kill { id } => {
                if let Some((child, _)) = self.children.get(&id) {
                    end(child);
                }
                Ok(())
            }
            Request::Start { id, memory } => match self.start(socket, id, memory, descriptors) {
                Ok(()) => Ok(()),
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
                    wire::send(socket, Reply::Failed { id, errno }, &[])
                }
            },
        }
    }

    fn start(
        &mut self,
        socket: BorrowedFd<'_>,
        id: u64,
        memory: u64,
        descriptors: &[OwnedFd],
    ) -> io::Result<()> {
        let [copy] = descriptors else {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        };
        if self.children.len() >= MOST || self.children.contains_key(&id) {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        let program = std::path::Path::new("/proc/self/exe");
        let parent = Some(std::process::id());
        let mut child =
            child_command(program, self.run_as, copy.as_fd(), memory, parent).spawn()?;
        let begun = pidfd_of(child.id()).and_then(|pidfd| {
            let (Some(stdin), Some(stdout), Some(stderr)) =
                (&child.stdin, &child.stdout, &child.stderr)
            else {
                return Err(io::Error::from_raw_os_error(libc::EPIPE));
            };
            let pid = child.id();
            let copy = copy.as_raw_fd();
            let pipes = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd(), pidfd.as_fd()];
            wire::send(socket, Reply::Started { id, pid, copy }, &pipes)?;
            Ok(pidfd)
        });
        let pidfd = match begun {
            Ok(pidfd) => pidfd,
            Err(error) => {
                end(&child);
                child.wait()?;
                return Err(error);
            }
        };
        // The program has them now: here they would keep a pipe open that it has closed.
        (child.stdin, child.stdout, child.stderr) = (None, None, None);
        self.children.insert(id, (child, pidfd));
        Ok(())
    }

    /// Ends what a process that has ended left behind, and tells how it went.
    fn bury(&mut self, socket: BorrowedFd<'_>, id: u64) -> io::Result<()> {
        let Some((mut child, _)) = self.children.remove(&id) else {
            return Ok(());
        };
        // Before it is reaped: afterwards its number may be another's.
        end(&child);
        let status = child.wait()?.into_raw();
        match wire::send(socket, Reply::Ended { id, status }, &[]) {
            // The next look at the socket finds its end.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// Ends a process that was not reaped yet, and whatever it started.
fn end(child: &Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        // Where it has ended in between, that is what was wanted.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}
