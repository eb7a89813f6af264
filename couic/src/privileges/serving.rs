//! The system calls of the serving process.
//!
//! An allow-list: what serving, TLS, name lookups, the spool and the journal take, and what a notifier may take that is
//! loaded into the process. It names families rather than what today's build happens to call, so that another C
//! library, or a newer one, works: both glibc and musl keep to it, and what they probe for beyond it is answered
//! `ENOSYS`, which they are used to. Above it lies a list of what is refused with `EPERM` and noted in the kernel's log,
//! because whoever calls that here means no good.
//!
//! Why an error, and not the end of the process: a firewall that a stray call could end would be worse than one that
//! answers no. The filter in the kernel goes on either way.
//!
//! `clone3` is left out on purpose: its flags lie in memory, where no filter can look. C libraries then take `clone`,
//! which is allowed for threads and for nothing else.

use std::{io, process};

use couic_privsep::seccomp::{self, Arg, Calls, NOBODYS_BUSINESS, PROGRAMS, SIGNALS, USERS};
use libc::c_long;

/// Files and descriptors.
pub(super) const FILES: &[c_long] = &[
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    FACCESSAT2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch,
    libc::SYS_ioctl,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_memfd_create,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pipe2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_sync_file_range,
    libc::SYS_tee,
    libc::SYS_truncate,
    libc::SYS_umask,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_getdents,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pipe,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
];

/// Newer than the C library's list of names on some processors; the same number on all.
const FACCESSAT2: c_long = 439;
const FUTEX_WAITV: c_long = 449;
const FCHMODAT2: c_long = 452;
const FUTEX_WAKE: c_long = 454;
const FUTEX_WAIT: c_long = 455;
const FUTEX_REQUEUE: c_long = 456;
const EPOLL_PWAIT2: c_long = 441;
const PIDFD_OPEN: c_long = 434;

/// Memory, threads, time, signals to oneself.
pub(super) const PROCESS: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_capget,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_clone,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    FUTEX_REQUEUE,
    FUTEX_WAIT,
    FUTEX_WAITV,
    FUTEX_WAKE,
    libc::SYS_get_mempolicy,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getitimer,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    PIDFD_OPEN,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setitimer,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    libc::SYS_tgkill,
    libc::SYS_times,
    libc::SYS_uname,
    libc::SYS_wait4,
    libc::SYS_waitid,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_alarm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_getpgrp,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_getrlimit,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pause,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_setrlimit,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];

/// Sockets, and waiting.
pub(super) const SOCKETS: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    EPOLL_PWAIT2,
    libc::SYS_eventfd2,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_signalfd4,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_create,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_eventfd,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_select,
];

/// What prctl(2) may be asked for: names of threads and of memory, and looking.
const PRCTL: &[i32] = &[
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_SET_VMA,
    libc::PR_GET_DUMPABLE,
    libc::PR_GET_NO_NEW_PRIVS,
    libc::PR_GET_SECCOMP,
    libc::PR_CAPBSET_READ,
    libc::PR_SET_TIMERSLACK,
    libc::PR_GET_TIMERSLACK,
    libc::PR_SET_THP_DISABLE,
    libc::PR_GET_THP_DISABLE,
];

/// ioctl(2) that puts words into the mouth of a terminal: TIOCSTI, TIOCLINUX, TIOCSETD.
const TERMINAL: &[u32] = &[0x5412, 0x541c, 0x5423];

const WRITE_AND_EXECUTE: u32 = (libc::PROT_WRITE | libc::PROT_EXEC).cast_unsigned();

/// Makes the two filters hold for all threads. Of other processes only `children` may be sent signals.
pub(super) fn install(children: &[u32]) -> io::Result<()> {
    let allowed = Calls::default().all(FILES).all(PROCESS).all(SOCKETS);
    // To be judged by the second filter; and what installs that.
    let allowed = allowed.all(&[libc::SYS_kill, libc::SYS_seccomp]);
    let allowed = seccomp::allow_only(&allowed)?;
    let refused = seccomp::refuse(&refused(children))?;
    // In this order: see there.
    allowed.install(false)?;
    refused.install(true)
}

fn refused(children: &[u32]) -> Calls {
    let strangers: Vec<_> = children.iter().map(|pid| Arg::is_not(0, *pid)).collect();
    let calls = Calls::default()
        .all(NOBODYS_BUSINESS)
        .all(PROGRAMS)
        .all(SIGNALS)
        .only_when(libc::SYS_kill, &strangers)
        .all(USERS)
        .all(&[libc::SYS_seccomp])
        .when(
            libc::SYS_clone,
            &[Arg::lacks(0, libc::CLONE_THREAD.cast_unsigned())],
        )
        .when(libc::SYS_tgkill, &[Arg::is_not(0, process::id())])
        .when(
            libc::SYS_prlimit64,
            &[Arg::is_not(0, 0), Arg::is_not(0, process::id())],
        )
        .when(libc::SYS_prctl, &none_of(0, PRCTL))
        .when(libc::SYS_mmap, &[Arg::has(2, WRITE_AND_EXECUTE)])
        .when(
            libc::SYS_mprotect,
            &[Arg::has(2, libc::PROT_EXEC.cast_unsigned())],
        );
    let calls = TERMINAL.iter().fold(calls, |calls, &request| {
        calls.when(libc::SYS_ioctl, &[Arg::is(1, request)])
    });
    sockets(calls)
}

/// Unix, IP, and of netlink what tells routes and interfaces. No raw sockets of any family.
fn sockets(calls: Calls) -> Calls {
    let (netlink, route) = (libc::AF_NETLINK, libc::NETLINK_ROUTE);
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, netlink];
    calls
        .when(libc::SYS_socket, &none_of(0, &families))
        .when(
            libc::SYS_socket,
            &[
                Arg::is(0, netlink.cast_unsigned()),
                Arg::is_not(2, route.cast_unsigned()),
            ],
        )
        .when(libc::SYS_socketpair, &none_of(0, &[libc::AF_UNIX]))
}

fn none_of(index: u8, values: &[i32]) -> Vec<Arg> {
    let values = values.iter().map(|value| value.cast_unsigned());
    values.map(|value| Arg::is_not(index, value)).collect()
}
