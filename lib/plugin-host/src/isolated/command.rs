//! How the process of a plugin is started, and what is taken from it before it runs anything.

use std::{
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, RawFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use couic_privsep::{Sets, ThreadStep};

use super::{child::PLUGIN_HOST, process::RunAs};

/// The command that starts the process of a plugin, as `run_as` if this process may choose. The plugin ends with
/// `parent`, which is this process and has one thread: the kernel goes by the thread that started it.
pub(crate) fn child_command(
    program: &Path,
    run_as: Option<RunAs>,
    copy: BorrowedFd<'_>,
    memory: u64,
    parent: Option<u32>,
) -> Command {
    let mut command = PLUGIN_HOST.command(program);
    command
        // One arena for each of dozens of threads would be address space for nothing.
        .env("MALLOC_ARENA_MAX", "2")
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let copy = copy.as_raw_fd();
    // SAFETY: what runs between fork and exec are plain system calls.
    unsafe {
        command.pre_exec(move || {
            if let Some(run_as) = run_as {
                become_user(run_as)?;
            }
            confine(copy, memory)?;
            parent.map_or(Ok(()), end_with)
        });
    }
    command
}

/// Not the command's own: that drops supplementary groups for root only, and a spawner may have become another.
fn become_user(RunAs { uid, gid }: RunAs) -> io::Result<()> {
    // SAFETY: there are no groups to read; the others take no pointer.
    unsafe {
        done(libc::setgroups(0, std::ptr::null()))?;
        done(libc::setresgid(gid, gid, gid))?;
        done(libc::setresuid(uid, uid, uid))
    }
}

/// This process does not outlive `parent`. After the change of user, which would take this back.
fn end_with(parent: u32) -> io::Result<()> {
    // SAFETY: neither takes a pointer.
    let orphaned = unsafe {
        done(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0))?;
        libc::getppid().cast_unsigned() != parent
    };
    if orphaned {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
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
    // Of all sets. A service manager that hands capabilities to a user other than root makes them inheritable, and those
    // outlive both the change of user and exec.
    ThreadStep::sets(Sets::NONE).no_new_privs().here()?;
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

pub(super) fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
