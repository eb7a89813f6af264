//! Whose process this is.

use std::io;

use crate::{
    caps::{Caps, Sets, clear_ambient, lower_bounding, raise_ambient, set_sets},
    done,
};

/// Makes the whole process `uid`'s, with the group `gid` and no other: the C library changes all threads.
///
/// # Errors
/// What the system says; it takes root, or `CAP_SETUID` and `CAP_SETGID`.
pub fn switch_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: one group is lent for the call; the others take no pointer.
    unsafe {
        done(libc::setgroups(1, &raw const gid).into())?;
        done(libc::setresgid(gid, gid, gid).into())?;
        done(libc::setresuid(uid, uid, uid).into())
    }
}

/// Turns a root process that has no threads yet into what a service manager makes with `User=` and
/// `AmbientCapabilities=`: `uid`'s, with `keep` and nothing else, in all sets, so that programs which it runs have them,
/// too. The bounding set is empty afterwards.
///
/// # Errors
/// What the system says; the process must not go on then.
pub fn lower(uid: u32, gid: u32, keep: Caps) -> io::Result<()> {
    let now = crate::sets()?;
    let keep = keep.within(now.permitted);
    // What becomes inheritable must be in the bounding set at this moment.
    set_sets(Sets {
        inheritable: keep,
        ..now
    })?;
    lower_bounding(Caps::NONE)?;
    keep_capabilities(true)?;
    switch_user(uid, gid)?;
    keep_capabilities(false)?;
    set_sets(Sets {
        effective: keep,
        permitted: keep,
        inheritable: keep,
    })?;
    clear_ambient()?;
    raise_ambient(keep)
}

/// Whether the permitted set outlives the change from root to another user.
fn keep_capabilities(keep: bool) -> io::Result<()> {
    // SAFETY: takes no pointer.
    done(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, libc::c_ulong::from(keep), 0, 0, 0) }.into())
}

/// Nobody who runs as the same user may look into this process any more, nor does it leave a core dump: its memory
/// holds tokens. For the whole process.
///
/// # Errors
/// What the system says; it has no reason to.
pub fn hide_memory() -> io::Result<()> {
    // SAFETY: takes no pointer.
    done(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }.into())
}
