//! Dropping privileges: user, capabilities, system calls, files.
//!
//! The confinement of daemon and attacher is in `roles`; the spawner of plugins combines the mechanisms itself. `child` has
//! what child processes have in common, and `channel` what they talk over. What holds:
//! - Code that runs in a signal handler or in a forked child neither allocates nor locks.
//! - Linux keeps user, capabilities, `no_new_privs` and Landlock domains per thread. [`ThreadStep::on_every_thread`]
//!   changes every thread of the process, and [`threads`] reads the result back from `/proc`.
//!
//! ```no_run
//! use couic_privsep::{
//!     become_configured_user, check_capabilities, drop_privileges, files::Files, threads,
//! };
//!
//! # fn sample(owner: &couic_files::Account) -> Result<(), Box<dyn std::error::Error>> {
//! check_capabilities(owner)?;
//! become_configured_user(owner)?;
//! // … attach, load the program, start children …
//! drop_privileges(&Files::default().read("/etc/couic").write("/var/lib/couic"))?;
//! assert!(threads()?.iter().all(|thread| thread.is_powerless()));
//! # Ok(()) }
//! ```

mod broadcast;
mod caps;
mod channel;
mod child;
mod configured_user;
mod drop;
mod error;
pub mod files;
pub mod groups;
mod needed;
mod roles;
pub mod seccomp;
mod signals;
mod status;
mod user;

pub use broadcast::ThreadStep;
pub use caps::{
    CAP_BPF, CAP_KILL, CAP_NET_ADMIN, CAP_PERFMON, CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN, Caps,
    FILTERING, Sets, last_known, lower_bounding, set_sets, sets,
};
pub use channel::Channel;
pub use child::{Role, describe, run_if_child, wait_until};
pub use configured_user::become_configured_user;
pub use drop::{Hardening, drop_privileges};
pub use error::PrivilegeError;
pub use needed::check_capabilities;
pub use roles::{
    attacher::confine_attacher,
    program::{ConfineError, Confined, become_program_user, confine_program},
};
pub use signals::{end_with_parent, ignore_signals, ignore_stray_signals, stray_signals};
pub use status::{ThreadStatus, threads, threads_of};
pub use user::{hide_memory, lower, make_ambient, switch_user};

use std::io;

/// The result of a system call that returns -1 and sets `errno`.
fn done(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
