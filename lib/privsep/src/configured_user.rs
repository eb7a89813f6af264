//! From root to the configured user, before untrusted input is read: set files, the journal, reports.
//!
//! What holds after [`become_configured_user`], however the daemon was started: it runs as the configured user and
//! group, with [`FILTERING`] in all sets and nothing else, so that the attacher inherits it.
//! `config/systemd/couic.service` does the same.

use crate::CAP_SYS_ADMIN;
use nix::unistd::geteuid;

use crate::FILTERING;

use crate::PrivilegeError;
use couic_files::Account;

/// Switches this process to the configured user with the capabilities [`FILTERING`]. Call it in the main thread;
/// [`drop_privileges`](crate::drop_privileges) later drops the capabilities of the others.
///
/// A process started as root keeps `CAP_SYS_ADMIN` until then, too: the kernel requires it to read the name of a
/// foreign XDP program, without which messages could only give its ID.
///
/// # Errors
/// [`PrivilegeError`]; the process must not go on then.
pub fn become_configured_user(owner: &Account) -> Result<(), PrivilegeError> {
    if !geteuid().is_root() {
        return crate::make_ambient(FILTERING)
            .map_err(PrivilegeError::doing("drop the other capabilities"));
    }
    crate::lower(owner.uid, owner.gid, FILTERING.and(CAP_SYS_ADMIN)).map_err(|source| {
        PrivilegeError::Switch {
            user: owner.user.clone(),
            group: owner.group.clone(),
            source,
        }
    })?;
    tracing::info!(
        "running as user {}, group {} from here on",
        owner.user,
        owner.group
    );
    Ok(())
}
