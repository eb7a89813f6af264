//! Whose process this is.

use std::io;

use crate::{
    ThreadStep,
    caps::{Caps, Sets, clear_ambient, raise_ambient, set_sets},
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

/// Turns a root process into what a service manager makes with `User=` and `AmbientCapabilities=`: `uid`'s, with `keep`
/// and nothing else, in all sets, so that programs which it runs have them, too. The bounding set is empty afterwards.
///
/// That is the calling thread, and those that it starts. Other threads are `uid`'s and without bounding set, too; where
/// that is root's, they still have what they had until a [`ThreadStep`].
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
    // While all threads may: those that were there before lose the capability for it with their user.
    ThreadStep::sets(Sets::ALL)
        .bounding(Caps::NONE)
        .on_every_thread()?;
    keep_capabilities(true)?;
    switch_user(uid, gid)?;
    keep_capabilities(false)?;
    hand_on(keep)
}

/// Makes what the calling thread has of `keep` all that it has, and something that programs which it runs have, too.
///
/// # Errors
/// What the system says; the process must not go on then.
pub fn hand_on(keep: Caps) -> io::Result<()> {
    let keep = keep.within(crate::sets()?.permitted);
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
