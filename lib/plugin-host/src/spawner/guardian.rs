//! A process that does nothing but to start its copy again when somebody kills that.
//!
//! What the copy may do was taken from this process before, so both are confined alike. It waits in one system call, and
//! holds the line to the program, so that requests which come meanwhile wait, too. Where this process is killed itself,
//! its copy goes on.

use std::{io, thread, time::Duration};

use nix::{
    errno::Errno,
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid, fork},
};

/// Between two copies: one that dies at once must not take a processor.
const PAUSE: Duration = Duration::from_millis(250);

/// Runs `work` in a copy of this process, and in another one whenever that is killed; it learns whether there was one
/// before. Returns what `work` returned, in the copy, or how the copy ended by itself, here. To be called by a process
/// with one thread.
///
/// # Errors
/// Those of `work`, and what the system says.
pub(super) fn keep_alive(work: impl FnOnce(bool) -> io::Result<()>) -> io::Result<()> {
    let mut again = false;
    loop {
        // SAFETY: there is one thread, so that the copy has nothing that is locked for ever.
        let copy = match unsafe { fork()? } {
            ForkResult::Child => return work(again),
            ForkResult::Parent { child } => child,
        };
        match wait(copy)? {
            WaitStatus::Exited(_, 0) => return Ok(()),
            // It has said why.
            WaitStatus::Exited(_, code) => {
                return Err(io::Error::other(format!("ended with exit code {code}")));
            }
            status => eprintln!("plugin spawner: was killed ({status:?}), and is started again"),
        }
        thread::sleep(PAUSE);
        again = true;
    }
}

fn wait(copy: Pid) -> io::Result<WaitStatus> {
    loop {
        match waitpid(copy, None) {
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}
