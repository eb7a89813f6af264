//! Signals whose default action terminates a process: a stray `kill -USR1` is no reason to stop filtering.

use std::io;

use libc::c_int;

use crate::done;

/// Signals that terminate by default and report no fault in the process, without the requests to terminate (SIGTERM,
/// SIGINT, SIGQUIT) and SIGKILL.
const STRAY: &[c_int] = &[
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGSTKFLT,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGPWR,
];

/// Requests to terminate.
const TERMINATING: [c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT];

/// Signals that terminate a process by default and are neither a request to terminate nor the report of a fault; the
/// real-time signals (`SIGRTMIN` and above) included.
pub fn stray_signals() -> impl Iterator<Item = c_int> {
    let own = libc::SIGRTMIN()..=libc::SIGRTMAX();
    STRAY.iter().copied().chain(own)
}

/// Ignores [`stray_signals`] in this process and, until they set handlers of their own, in its children.
pub fn ignore_stray_signals() {
    stray_signals().for_each(ignore);
}

/// Ignores requests to terminate, too, so that only SIGKILL ends this process from outside: for a helper process that
/// exits with its parent.
pub fn ignore_signals() {
    ignore_stray_signals();
    TERMINATING.into_iter().for_each(ignore);
}

/// Whether the kernel kills this process when the thread that started it ends, even if this process is stopped. Both must
/// have the same user; a later change of user takes it back.
///
/// # Errors
/// Those of prctl(2); none is expected.
pub fn end_with_parent(yes: bool) -> io::Result<()> {
    let signal = if yes { libc::SIGKILL } else { 0 };
    // SAFETY: no pointers are passed.
    done(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) }.into())
}

fn ignore(signal: c_int) {
    // SAFETY: SIG_IGN is not a handler of ours, and these signals may be ignored.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}
