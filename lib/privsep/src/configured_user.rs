//! From root to the configured user, before anything that others wrote is read: set files, the journal, reports.
//!
//! What holds after [`lower_to_user`], however the daemon was started: it is the configured user's, its group is the
//! configured one, and it has what [`FILTERING`] names and nothing else, in all sets, so that the attacher that it starts
//! has them, too. `config/systemd/couic.service` makes the same of it.

use crate::CAP_SYS_ADMIN;
use nix::unistd::geteuid;

use crate::FILTERING;

use crate::PrivilegeError;
use couic_files::Account;

/// Makes this process the configured user's with the capabilities that filtering takes. Call it in the main thread;
/// what other threads still have is taken by [`give_up`](crate::give_up).
///
/// One that was started as root keeps `CAP_SYS_ADMIN` until then, too: without, the kernel does not tell the name of a
/// foreign XDP program, and the message about it would have its number alone.
///
/// # Errors
/// [`PrivilegeError`]; the process must not go on then.
pub fn lower_to_user(owner: &Account) -> Result<(), PrivilegeError> {
    if !geteuid().is_root() {
        return crate::hand_on(FILTERING)
            .map_err(PrivilegeError::doing("give up the other capabilities"));
    }
    crate::lower(owner.uid, owner.gid, FILTERING.and(CAP_SYS_ADMIN)).map_err(|source| {
        PrivilegeError::Switch {
            user: owner.user.clone(),
            group: owner.group.clone(),
            source,
        }
    })?;
    tracing::info!("now user {}, group {}", owner.user, owner.group);
    Ok(())
}
