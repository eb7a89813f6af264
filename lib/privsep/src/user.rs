//! The user of the process, and the capabilities that survive its change.

use std::io;

use crate::{
    ThreadStep,
    caps::{Caps, Sets, clear_ambient, raise_ambient, set_sets},
    done,
};

/// Switches the process to user `uid` and group `gid`, without supplementary groups: the C library changes all threads.
///
/// # Errors
/// Those of the system calls; root, or `CAP_SETUID` and `CAP_SETGID`, is required.
pub fn switch_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: the pointer to one group is valid during the call; the others take no pointer.
    unsafe {
        done(libc::setgroups(1, &raw const gid).into())?;
        done(libc::setresgid(gid, gid, gid).into())?;
        done(libc::setresuid(uid, uid, uid).into())
    }
}

/// Turns a root process into what systemd makes of it with `User=` and `AmbientCapabilities=`: user `uid`, with `keep`
/// in all sets and nothing else, so that its children have them, too. The bounding set is empty afterwards.
///
/// This holds for the calling thread and those that it creates. Other threads get the user and the empty bounding set;
/// if `uid` is root, they keep their capabilities until a [`ThreadStep`].
///
/// # Errors
/// Those of the system calls; the process must not go on then.
pub fn lower(uid: u32, gid: u32, keep: Caps) -> io::Result<()> {
    let now = crate::sets()?;
    let keep = keep.within(now.permitted);
    // Before the bounding set is emptied: it limits what may be added to the inheritable set.
    set_sets(Sets {
        inheritable: keep,
        ..now
    })?;
    // Before the user changes: the other threads lose CAP_SETPCAP with it.
    ThreadStep::sets(Sets::ALL)
        .bounding(Caps::NONE)
        .on_every_thread()?;
    keep_capabilities(true)?;
    switch_user(uid, gid)?;
    keep_capabilities(false)?;
    make_ambient(keep)
}

/// Reduces the calling thread to `keep`, and makes it ambient, so that its children have it, too.
///
/// # Errors
/// Those of the system calls; the process must not go on then.
pub fn make_ambient(keep: Caps) -> io::Result<()> {
    let keep = keep.within(crate::sets()?.permitted);
    set_sets(Sets {
        effective: keep,
        permitted: keep,
        inheritable: keep,
    })?;
    clear_ambient()?;
    raise_ambient(keep)
}

/// Whether the permitted set survives the change from root to another user.
fn keep_capabilities(keep: bool) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    done(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, libc::c_ulong::from(keep), 0, 0, 0) }.into())
}

/// Makes the process non-dumpable: other processes of its user cannot read its memory, which holds tokens, and it
/// leaves no core dump.
///
/// # Errors
/// Those of prctl(2); none is expected.
pub fn hide_memory() -> io::Result<()> {
    // SAFETY: no pointers are passed.
    done(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }.into())
}
