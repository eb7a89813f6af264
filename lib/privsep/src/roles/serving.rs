//! The system calls of the serving process.
//!
//! An allow-list for serving, TLS, name lookups, the spool and the journal, and for notifiers loaded into the process.
//! It lists families rather than the calls of today's build, so that another or a newer C library works: glibc and
//! musl stay within it, and handle `ENOSYS` for what they probe beyond it. A second filter refuses calls that only an
//! attack would make, with `EPERM` and a line in the kernel's log.
//!
//! Calls fail instead of killing the process, because one stray call must not end a firewall. The filter in the kernel
//! goes on either way.
//!
//! `clone3` is left out on purpose: its flags lie in memory, which a filter cannot read. C libraries fall back to
//! `clone`, which is allowed for threads only.

use std::{io, process};

use crate::{
    groups::{
        CREDENTIALS, EXEC, FILES, KERNEL_ADMIN, PROCESS, SIGNALS, SOCKETS, refuse_owner_signals,
    },
    seccomp::{self, Arg, Calls},
};

/// The allowed prctl(2) operations: names of threads and memory, timer slack, huge pages, and reading.
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

/// ioctl(2) requests that inject input into a terminal: TIOCSTI, TIOCLINUX, TIOCSETD.
const TERMINAL: &[u32] = &[0x5412, 0x541c, 0x5423];

const WRITE_AND_EXECUTE: u32 = (libc::PROT_WRITE | libc::PROT_EXEC).cast_unsigned();

/// Installs both filters on all threads.
pub(crate) fn install() -> io::Result<()> {
    let allowed = Calls::default().all(FILES).all(PROCESS).all(SOCKETS);
    // seccomp(2) itself, to install the second filter, which refuses it.
    let allowed = seccomp::allow_only(&allowed.all(&[libc::SYS_seccomp]))?;
    let refused = seccomp::refuse(&refused())?;
    // In this order: the filter installed last takes precedence.
    allowed.install(false)?;
    refused.install(true)
}

fn refused() -> Calls {
    let calls = Calls::default()
        .all(KERNEL_ADMIN)
        .all(EXEC)
        .all(SIGNALS)
        .all(CREDENTIALS)
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
    sockets(refuse_owner_signals(calls))
}

/// Unix, IP and rtnetlink sockets only.
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
