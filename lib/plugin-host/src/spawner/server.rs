//! The spawner's process: starts the processes of plugins, reports their ends, and ends with its program.
//!
//! It has one thread, no capability (or, if the program was started as root, the three that start and kill processes of
//! another user), and a seccomp filter that its children inherit: no system calls for kernel administration, other
//! processes' memory or mounts, and no change of user but to that of the plugins.

use std::{
    collections::HashMap,
    env, io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::process::ExitStatusExt,
    },
    process::Child,
};

use couic_privsep::{
    CAP_KILL, CAP_SETGID, CAP_SETUID, Caps, Channel, Sets, ThreadStep,
    groups::KERNEL_ADMIN,
    hide_memory, lower,
    seccomp::{self, Arg, Calls},
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, killpg},
    unistd::{Pid, geteuid},
};

use super::wire::{Reply, Request};
use crate::isolated::{RunAs, child_command, pidfd_of};

/// More notifiers than any configuration has.
const MOST: usize = 256;

/// Runs a spawner. Its arguments are users and groups: the program's, and those of plugins.
pub(super) fn run(channel: OwnedFd) -> io::Result<()> {
    close_all_but(&channel);
    let mut spawner = Spawner {
        channel: Channel::new(channel),
        run_as: prepare()?,
        children: HashMap::new(),
    };
    let served = spawner.serve();
    spawner.children.values().for_each(|(child, _)| end(child));
    served
}

/// Closes what was inherited, and is neither a standard descriptor nor the channel.
fn close_all_but(channel: &OwnedFd) {
    let channel = channel.as_raw_fd();
    for (first, last) in [(3, channel - 1), (channel + 1, RawFd::MAX)] {
        // SAFETY: takes no pointer, and nothing in this process uses those descriptors. An empty range is an error.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

/// Gives up unneeded privileges, and returns the user that plugins run as, if it can be changed.
fn prepare() -> io::Result<Option<RunAs>> {
    let numbers = env::args_os()
        .skip(2)
        .map(|word| word.to_str()?.parse().ok());
    let numbers: Option<Vec<u32>> = numbers.collect();
    let Some(&[uid, gid, plugin_uid, plugin_gid]) = numbers.as_deref() else {
        return Err(io::Error::other("is started by Couic, with four numbers"));
    };
    let run_as = geteuid().is_root().then_some(RunAs {
        uid: plugin_uid,
        gid: plugin_gid,
    });
    let keep = if run_as.is_some() {
        let keep = CAP_SETUID.and(CAP_SETGID).and(CAP_KILL);
        lower(uid, gid, keep)?;
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
        eprintln!("couic plugin-spawner: runs without a filter of system calls: {error}");
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
    channel: Channel,
    run_as: Option<RunAs>,
    /// Each with its pidfd.
    children: HashMap<u64, (Child, OwnedFd)>,
}

impl Spawner {
    /// Runs until the program is gone or breaks the protocol.
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let (has_request, ended) = self.wait()?;
            for id in ended {
                self.reap(id)?;
            }
            if !has_request {
                continue;
            }
            match self.channel.receive()? {
                Some((request, copy)) => self.obey(request, copy)?,
                None => return Ok(()),
            }
        }
    }

    /// Waits for a request or the end of a process. Returns whether there is a request, and which processes have ended.
    fn wait(&self) -> io::Result<(bool, Vec<u64>)> {
        let ids: Vec<u64> = self.children.keys().copied().collect();
        let pidfds = ids.iter().map(|id| self.children[id].1.as_fd());
        let mut watched: Vec<_> = std::iter::once(self.channel.as_fd())
            .chain(pidfds)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        while let Err(errno) = poll(&mut watched, PollTimeout::NONE) {
            if errno != nix::errno::Errno::EINTR {
                return Err(errno.into());
            }
        }
        let is_ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        let ended = ids.into_iter().zip(&watched[1..]);
        let ended = ended.filter(|(_, fd)| is_ready(fd)).map(|(id, _)| id);
        Ok((is_ready(&watched[0]), ended.collect()))
    }

    fn obey(&mut self, request: Request, copy: Option<OwnedFd>) -> io::Result<()> {
        match request {
            Request::Ping => self.channel.send(&Reply::Pong, None),
            Request::Kill { id } => {
                if let Some((child, _)) = self.children.get(&id) {
                    end(child);
                }
                Ok(())
            }
            Request::Start { id, memory } => match self.start(id, memory, copy) {
                Ok(()) => Ok(()),
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
                    self.channel.send(&Reply::Failed { id, errno }, None)
                }
            },
        }
    }

    fn start(&mut self, id: u64, memory: u64, copy: Option<OwnedFd>) -> io::Result<()> {
        let copy = copy.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        if self.children.len() >= MOST || self.children.contains_key(&id) {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        let program = std::path::Path::new("/proc/self/exe");
        let parent = Some(std::process::id());
        let mut child =
            child_command(program, self.run_as, copy.as_fd(), memory, parent).spawn()?;
        match self.pass_on(id, &child, copy.as_raw_fd()) {
            Ok(pidfd) => {
                // The program has them now: this copy would keep a pipe open that it has closed.
                (child.stdin, child.stdout, child.stderr) = (None, None, None);
                self.children.insert(id, (child, pidfd));
                Ok(())
            }
            Err(error) => {
                end(&child);
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Sends the program the descriptors of a process. Returns the pidfd.
    fn pass_on(&self, id: u64, child: &Child, copy: i32) -> io::Result<OwnedFd> {
        let pidfd = pidfd_of(child.id())?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (&child.stdin, &child.stdout, &child.stderr)
        else {
            return Err(io::Error::from_raw_os_error(libc::EPIPE));
        };
        for pipe in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
            self.channel.send(&Reply::Pipe { id }, Some(pipe))?;
        }
        let pid = child.id();
        let started = Reply::Started { id, pid, copy };
        self.channel.send(&started, Some(pidfd.as_fd()))?;
        Ok(pidfd)
    }

    /// Reaps a process that has ended, kills its descendants, and reports how it ended.
    fn reap(&mut self, id: u64) -> io::Result<()> {
        let Some((mut child, _)) = self.children.remove(&id) else {
            return Ok(());
        };
        // Before it is reaped: afterwards its pid may be reused.
        end(&child);
        let status = child.wait()?.into_raw();
        self.channel.send(&Reply::Ended { id, status }, None)
    }
}

/// Kills a process that was not reaped yet, and its descendants.
fn end(child: &Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        // On error it has ended already.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}
