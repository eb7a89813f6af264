//! The process that a plugin gets for itself, and what is taken from it before it runs anything.

use std::{
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::ExitStatusExt,
    },
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use super::child::PLUGIN_HOST;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::{Pid, geteuid},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    process::{Child, Command},
};

/// How a program is started whose `main` begins with [`run_if_child`](super::run_if_child).
#[derive(Clone, Debug)]
pub struct ChildCommand {
    program: PathBuf,
}

impl ChildCommand {
    /// This program, whatever became of its file since it was started.
    #[must_use]
    pub fn itself() -> Self {
        Self::new("/proc/self/exe")
    }

    /// Another program.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        Self { program }
    }
}

/// Whom plugins run as where this program is root. Anybody else cannot change that, and plugins run as what it is,
/// without its capabilities.
///
/// That is judged at each start of a process. A program that gives up root should do so before it starts plugins: one
/// that runs as somebody else by then could not be ended any more, and would come back as another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// User.
    pub uid: u32,
    /// Group; there are no others.
    pub gid: u32,
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

/// What an isolated plugin is given.
#[derive(Clone, Debug)]
pub struct Isolation {
    /// How to start its process.
    pub command: ChildCommand,
    /// Whom to run it as.
    pub run_as: RunAs,
    /// How many bytes of memory of its own it may have (`RLIMIT_DATA`).
    pub memory: u64,
}

impl Isolation {
    /// As `nobody` with 256 MiB.
    #[must_use]
    pub fn new(command: ChildCommand) -> Self {
        Self {
            command,
            run_as: RunAs::default(),
            memory: 256 << 20,
        }
    }

    /// Starts the process: pipes on 0, 1 and 2, and the sealed copy of the plugin under its number.
    pub(super) fn spawn(&self, copy: BorrowedFd<'_>) -> io::Result<Child> {
        let mut command = Command::new(&self.command.program);
        command
            .arg(PLUGIN_HOST)
            .env_clear()
            // One arena for each of dozens of threads would be address space for nothing.
            .env("MALLOC_ARENA_MAX", "2")
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if geteuid().is_root() {
            let RunAs { uid, gid } = self.run_as;
            if uid == 0 {
                return Err(io::Error::other(
                    "plugins do not run as root: name another user",
                ));
            }
            // Drops the supplementary groups, too.
            command.uid(uid).gid(gid);
        }
        let (copy, memory) = (copy.as_raw_fd(), self.memory);
        // SAFETY: what runs between fork and exec are plain system calls.
        unsafe { command.pre_exec(move || confine(copy, memory)) };
        command.spawn()
    }
}

/// Runs in the child, after it has become the other user, before exec.
fn confine(copy: RawFd, memory: u64) -> io::Result<()> {
    let limits = [
        (libc::RLIMIT_DATA, memory),
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_NOFILE, 256),
    ];
    for (resource, value) in limits {
        let limit = libc::rlimit {
            rlim_cur: value,
            rlim_max: value,
        };
        // SAFETY: the limit is lent for the call.
        done(unsafe { libc::setrlimit(resource, &raw const limit) })?;
    }
    // SAFETY: neither takes a pointer.
    unsafe {
        done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        done(libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        ))?;
    }
    give_up_capabilities()?;
    // Nothing of ours but the pipes and the copy. Before Linux 5.11 there is no such call: then what keeps our
    // descriptors from it is that all of them are made close-on-exec.
    // SAFETY: takes no pointer.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    // SAFETY: takes no pointer.
    done(unsafe { libc::fcntl(copy, libc::F_SETFD, 0) })
}

/// Of all sets. A service manager that hands capabilities to a user other than root makes them inheritable, and those
/// outlive both the change of user and exec.
fn give_up_capabilities() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Sets {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let header = Header {
        // _LINUX_CAPABILITY_VERSION_3 of linux/capability.h: each set is two words long.
        version: 0x2008_0522,
        pid: 0,
    };
    let none = Sets {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    };
    let sets = [none; 2];
    // SAFETY: both are lent for the call, and laid out as capset(2) says.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const sets) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A descriptor that is readable once the process has ended, reaped or not.
pub(super) fn death_of(child: &Child) -> io::Result<AsyncFd<OwnedFd>> {
    let id = child.id().ok_or_else(|| io::Error::other("it has ended"))?;
    // SAFETY: takes no pointer.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    done(fd)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    let death = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: an OwnedFd has the same descriptor for as long as it lives.
    let death = unsafe { AsyncFd::register_with_interest(death, Interest::READABLE) };
    death.map_err(io::Error::from)
}

/// Ends the process and whatever it started. Before it is reaped: afterwards its number may be another's.
pub(super) fn kill(child: &Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = group {
        // Where it has ended in between, that is what was wanted.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// How a process ended, in words.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("was killed by {signal}"),
            Err(_) => format!("was killed by signal {number}"),
        },
        (None, None) => "ended".to_owned(),
    }
}
