//! From root to the configured user, before anything that others wrote is read: set files, the journal, reports.
//!
//! What holds after [`lower_to_user`], however the daemon was started: it is the configured user's, its group is the
//! configured one, and it has what [`filtering`] names and nothing else, in all sets, so that the keeper that it starts
//! has them, too. `config/systemd/couic.service` makes the same of it.

use std::io;

use couic_confine::{CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN, Caps};
use nix::unistd::geteuid;

use super::PrivilegeError;
use crate::config::Owner;

/// `CAP_BPF`'s number. `CAP_PERFMON` is the one before it, and both came with Linux 5.8.
const FIRST_WITH_BPF: u32 = 39;

/// What it takes on this kernel to load and to attach: two or three capabilities. `CAP_SYS_ADMIN`, which is nearly all
/// of them, only where the kernel does not know the ones made for that purpose.
///
/// # Errors
/// Where `/proc` does not tell which ones the kernel knows.
pub fn filtering() -> io::Result<Caps> {
    couic_confine::last_known().map(filtering_where)
}

fn filtering_where(last_known: u32) -> Caps {
    if last_known >= FIRST_WITH_BPF {
        CAP_NET_ADMIN.and(CAP_BPF).and(CAP_PERFMON)
    } else {
        CAP_NET_ADMIN.and(CAP_SYS_ADMIN)
    }
}

/// Makes this process the configured user's with the capabilities that filtering takes. Call it in the main thread;
/// what other threads still have is taken by [`give_up`](super::give_up).
///
/// One that was started as root keeps `CAP_SYS_ADMIN` until then, too: without, the kernel does not tell the name of a
/// foreign XDP program, and the message about it would have its number alone.
///
/// # Errors
/// [`PrivilegeError`]; the process must not go on then.
pub fn lower_to_user(owner: &Owner) -> Result<(), PrivilegeError> {
    let keep = filtering().map_err(PrivilegeError::doing("tell the kernel's capabilities"))?;
    if !geteuid().is_root() {
        return couic_confine::hand_on(keep)
            .map_err(PrivilegeError::doing("give up the other capabilities"));
    }
    couic_confine::lower(owner.uid, owner.gid, keep.and(CAP_SYS_ADMIN)).map_err(|source| {
        PrivilegeError::Switch {
            user: owner.user.clone(),
            group: owner.group.clone(),
            source,
        }
    })?;
    tracing::info!("now user {}, group {}", owner.user, owner.group);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sys_admin_is_for_kernels_that_know_no_better() {
        for known in [39, 40, 63] {
            let caps = filtering_where(known);
            assert!(caps.has(CAP_BPF) && caps.has(CAP_PERFMON) && caps.has(CAP_NET_ADMIN));
            assert!(!caps.has(CAP_SYS_ADMIN));
        }
        let old = filtering_where(37);
        assert!(old.has(CAP_SYS_ADMIN) && old.has(CAP_NET_ADMIN) && !old.has(CAP_BPF));
        assert!(filtering().is_ok());
    }
}
