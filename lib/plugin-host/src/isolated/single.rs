//! A plugin's process stays alone: it creates no process, runs no program and sends no signal to another process.
//!
//! A process that a plugin leaves behind (fork, setsid) would outlive host and plugin, and there would be one more for each
//! notification. Killing what is left behind comes too late and misses some; refusing to create it does not.

use std::{io, process};

use couic_privsep::{
    groups::{EXEC, KERNEL_ADMIN, SIGNALS, refuse_owner_signals},
    seccomp::{self, Arg, Calls},
};

/// Refuses the system calls for that to this process and its future threads.
pub(super) fn stay_single() -> io::Result<()> {
    // Its flags lie in memory, which a filter cannot read. C libraries then use clone(2).
    let clone3 = seccomp::deny_as_missing(&Calls::default().all(&[libc::SYS_clone3]))?;
    let own = process::id();
    let refused = Calls::default()
        .all(KERNEL_ADMIN)
        .all(EXEC)
        .all(SIGNALS)
        .when(
            libc::SYS_clone,
            &[Arg::lacks(0, libc::CLONE_THREAD.cast_unsigned())],
        )
        .when(libc::SYS_tgkill, &[Arg::is_not(0, own)])
        .when(
            libc::SYS_prlimit64,
            &[Arg::is_not(0, 0), Arg::is_not(0, own)],
        );
    let refused = seccomp::refuse(&refuse_owner_signals(refused))?;
    clone3.install(false)?;
    refused.install(false)
}
