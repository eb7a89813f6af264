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

use crate::{
    groups::{CREDENTIALS, EXEC, FILES, KERNEL_ADMIN, PROCESS, SIGNALS, SOCKETS},
    seccomp::{self, Arg, Calls},
};

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
pub(crate) fn install(children: &[u32]) -> io::Result<()> {
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
        .all(KERNEL_ADMIN)
        .all(EXEC)
        .all(SIGNALS)
        .only_when(libc::SYS_kill, &strangers)
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
