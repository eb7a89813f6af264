//! A process beside the keeper that makes, and removes, the directory of pins where the way there is root's alone.
//!
//! The keeper is the configured user when it finds out that somebody has removed its directory, and could not make it
//! again. So a daemon that was started as root has a porter, which stays root, and can do two things: make this one
//! directory for this one owner, and remove it where nothing is in it. It has `CAP_CHOWN` and no other capability, no
//! file outside of the bpf filesystem, and a handful of system calls. It ends with the keeper.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::{
        signal::{SigHandler, Signal, signal},
        socket::{setsockopt, sockopt::ReceiveTimeout},
        time::TimeVal,
    },
    unistd::{ForkResult, fork},
};
use serde::{Deserialize, Serialize};

use super::{
    keep::{make_dirs, remove_dirs},
    wire::Line,
};
use crate::privileges::confine_porter;

/// How long it may take. Somebody may have stopped it.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize, Deserialize)]
enum Errand {
    Make,
    Remove,
}

/// The porter, as the keeper sees it.
#[derive(Debug)]
pub(super) struct Porter(Line);

impl Porter {
    /// Makes the process: this one goes on in two. It must have one thread, still be root, and have nothing open that
    /// tells somebody else of its end by being closed, but for `line`.
    pub(super) fn start(dir: &Path, owner: (u32, u32), line: &Line) -> io::Result<Self> {
        let (ours, theirs) = Line::pair()?;
        let patience = i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX);
        setsockopt(&ours.as_fd(), ReceiveTimeout, &TimeVal::new(patience, 0))?;
        // Nobody waits for it: it is not to be left over when it ends first.
        // SAFETY: SIG_IGN is no function of ours.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn)? };
        // SAFETY: there is one thread, so that the copy has nothing that is locked for ever.
        match unsafe { fork()? } {
            ForkResult::Parent { .. } => Ok(Self(ours)),
            ForkResult::Child => {
                let open = line.raw();
                // SAFETY: takes no pointer; what has this descriptor is not used any more in this copy.
                unsafe { libc::close(open) };
                drop(ours);
                let ended = live(dir, owner, &Line::new(theirs));
                // SAFETY: ends this copy at once, and runs nothing of what the original is to run at its end.
                unsafe { libc::_exit(i32::from(ended.is_err())) }
            }
        }
    }

    /// Makes the directory where it is missing, and answers it.
    pub(super) fn make(&self) -> io::Result<OwnedFd> {
        let dir = self.ask(&Errand::Make)?;
        dir.ok_or_else(|| io::Error::other("the keeper's helper has answered nothing"))
    }

    /// Removes it where it is empty.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.ask(&Errand::Remove).map(drop)
    }

    fn ask(&self, errand: &Errand) -> io::Result<Option<OwnedFd>> {
        self.0.send(errand, None)?;
        match self.0.receive::<Result<(), String>>()? {
            Some((Ok(()), dir)) => Ok(dir),
            Some((Err(why), _)) => Err(io::Error::other(why)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Until the keeper is gone.
fn live(dir: &Path, owner: (u32, u32), line: &Line) -> io::Result<()> {
    // For who looks with ps. Without a name it works as well.
    let _ = nix::sys::prctl::set_name(c"couic-pins");
    let dir = PathBuf::from(dir);
    let top = dir.ancestors().nth(2).unwrap_or(Path::new("/"));
    confine_porter(top).map_err(io::Error::other)?;
    while let Some((errand, _)) = line.receive::<Errand>()? {
        let done = match errand {
            Errand::Make => make_dirs(&dir, owner).and_then(|()| open(&dir).map(Some)),
            Errand::Remove => {
                remove_dirs(&dir);
                Ok(None)
            }
        };
        let (told, found) = match done {
            Ok(found) => (Ok(()), found),
            Err(error) => (Err(error.to_string()), None),
        };
        line.send::<Result<(), String>>(&told, found.as_ref().map(AsFd::as_fd))?;
    }
    Ok(())
}

/// For going there: it may be read by its owner alone.
fn open(dir: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(dir)
}
