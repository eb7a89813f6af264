//! What the keeper is left with before it touches anything: the one place for that.

use std::io;

use super::wire::Start;

/// Gives up what the keeper does not need. Called once its directory of pins is made and entered and its program has
/// come, before it attaches anything.
///
/// # Errors
/// What the system says; the keeper ends then.
pub(super) fn confine_keeper(_start: &Start) -> io::Result<()> {
    // SAFETY: neither takes a pointer.
    unsafe {
        done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        // Nobody else who runs as the same user may look into this process.
        done(libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0))
    }
}

fn done(code: libc::c_int) -> io::Result<()> {
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
