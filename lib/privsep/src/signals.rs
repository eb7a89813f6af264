//! Signals that would end a process although nobody means that: a stray `kill -USR1` is no reason to stop filtering.

use libc::c_int;

/// Signals that end a process unless it says otherwise, and that tell of no fault in it. Of those that ask for an end
/// (SIGTERM, SIGINT, SIGQUIT) and of SIGKILL, which nobody can refuse, none.
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

/// What asks for an end.
const ASKING: [c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT];

/// Signals that end a process by default without asking for it and without telling of a fault, those for programs' own
/// use (`SIGRTMIN` and above) among them.
pub fn stray_signals() -> impl Iterator<Item = c_int> {
    let own = libc::SIGRTMIN()..=libc::SIGRTMAX();
    STRAY.iter().copied().chain(own)
}

/// From now on none of [`stray_signals`] ends this process nor, until they say otherwise, the programs that it runs.
pub fn ignore_stray_signals() {
    stray_signals().for_each(ignore);
}

/// From now on nothing but SIGKILL ends this process from outside: for one that ends with another one.
pub fn ignore_signals() {
    ignore_stray_signals();
    ASKING.into_iter().for_each(ignore);
}

fn ignore(signal: c_int) {
    // SAFETY: SIG_IGN is no function of ours, and the signals are ones that may be ignored.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}
