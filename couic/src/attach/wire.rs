//! What the serving process and its attacher say to each other: one JSON document a packet over a pair of
//! `SOCK_SEQPACKET` sockets, with at most one descriptor (`SCM_RIGHTS`).
//!
//! The serving process may ask for what the configuration allows, and nothing else: after [`Request::Start`] no packet of
//! it names an interface or a path, and there is one program for each role.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::PathBuf,
};

use nix::{
    cmsg_space,
    sys::socket::{
        AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
        sendmsg, socketpair,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{attachments::InterfaceState, pins::Place};
use couic_firewall::dataplane::{OperationMode, Role};

/// The longest packet. All names and messages in one are bounded far below.
const MAX_PACKET: usize = 64 << 10;

/// What the attacher is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Comes first.
    Start(Start),
    /// One of our programs, which comes with it.
    Program {
        /// What it is for.
        role: Role,
        /// The kernel's number for it.
        id: u32,
    },
    /// A link that systemd had kept, which comes with it.
    StoredLink {
        /// What it is called in the store.
        name: String,
    },
    /// Our own claim on being the one attacher of this working directory, which comes with it.
    Lock,
    /// Put our program on all interfaces; answered by `Attached` or `Refused`.
    Attach,
    /// Look at everything now; a report follows.
    Check,
    /// Answered by `Alive`, which a process that is stopped does not do.
    Probe,
    /// Take our program off all interfaces and keep nothing; answered by `Detached`.
    Detach,
}

/// What an attacher goes by, all its life.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// `ifaces`.
    pub(crate) ifaces: Vec<String>,
    /// `operation_mode`.
    pub(crate) mode: OperationMode,
    /// Where links are kept.
    pub(crate) place: Place,
    /// The directory of files that hold links, also where they are kept elsewhere from now on.
    pub(crate) pins: PathBuf,
    /// The configured user and group, numbers.
    pub(crate) owner: (u32, u32),
    /// Milliseconds between two looks at everything.
    pub(crate) period: u32,
}

/// What the attacher says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// It is confined, and can begin when it has its program.
    Ready,
    /// To [`Request::Attach`]: done.
    Attached,
    /// To [`Request::Attach`]: not done.
    Refused(String),
    /// To [`Request::Detach`]: done.
    Detached,
    /// To [`Request::Probe`].
    Alive,
    /// An interface, in a report.
    Interface(InterfaceState),
    /// Something else that somebody should look at, in a report.
    Problem(String),
    /// The filter does not stay when this process ends, and why, in a report.
    Unsaved(String),
    /// A report is complete: what was told before the one before it holds no more.
    Reported,
    /// A link to be kept by systemd comes with this.
    Store {
        /// What to call it.
        name: String,
    },
    /// What systemd keeps under this name is not needed any more.
    Remove {
        /// What it is called.
        name: String,
    },
    /// Something for the log.
    Note {
        /// How bad it is.
        level: Level,
        /// What.
        text: String,
    },
    /// What is attached was not what should be.
    Difference {
        /// Whether it is as it should be now.
        healed: bool,
    },
}

/// How bad a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Level {
    /// As it should be.
    Info,
    /// Worth a look.
    Warn,
    /// Must be looked at.
    Error,
}

/// One end.
#[derive(Debug)]
pub(crate) struct Line(OwnedFd);

impl Line {
    /// Two ends of a new line.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Self(ours), theirs))
    }

    pub(crate) const fn new(end: OwnedFd) -> Self {
        Self(end)
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Ends the line in both directions, for all who have this end.
    pub(crate) fn hang_up(&self) {
        // SAFETY: takes no pointer.
        unsafe { libc::shutdown(self.raw(), libc::SHUT_RDWR) };
    }

    /// Sends a packet, with a descriptor or without.
    pub(crate) fn send<T: Serialize>(
        &self,
        what: &T,
        fd: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let body = serde_json::to_vec(what)?;
        if body.len() > MAX_PACKET {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let fds: Vec<RawFd> = fd.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let control = if fds.is_empty() {
            &rights[..0]
        } else {
            &rights
        };
        let body = [IoSlice::new(&body)];
        retry(|| sendmsg::<()>(self.raw(), &body, control, MsgFlags::MSG_NOSIGNAL, None))?;
        Ok(())
    }

    /// Receives a packet; None at the end of the line.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let mut body = vec![0; MAX_PACKET];
        let mut space = cmsg_space!(RawFd);
        let (len, fds) = {
            let mut buffers = [IoSliceMut::new(&mut body)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let got = retry(|| {
                recvmsg::<()>(self.raw(), &mut buffers, Some(&mut space), flags)
                    .map(|got| (got.bytes, descriptors(&got)))
            })?;
            (got.0, got.1)
        };
        if len == 0 {
            return Ok(None);
        }
        let what = serde_json::from_slice(body.get(..len).unwrap_or_default())?;
        Ok(Some((what, fds.into_iter().next())))
    }
}

fn descriptors(got: &nix::sys::socket::RecvMsg<'_, '_, ()>) -> Vec<OwnedFd> {
    let mut all = Vec::new();
    for message in got.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(fds) = message {
            // SAFETY: the kernel has just made these for this process, and nobody else knows them.
            all.extend(
                fds.into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    all
}

fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(nix::errno::Errno::EINTR) => {}
            // Who has died without reading what was sent leaves this behind.
            Err(nix::errno::Errno::ECONNRESET) => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            other => return other.map_err(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Write},
    };

    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn packets_and_descriptors_arrive_and_the_end_is_told() {
        let (ours, theirs) = Line::pair().unwrap();
        let theirs = Line::new(theirs);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello").unwrap();
        let store = Message::Store {
            name: "if2".to_owned(),
        };
        theirs.send(&store, Some(file.as_fd())).unwrap();
        theirs.send(&Message::Attached, None).unwrap();
        let (event, fd) = ours.receive::<Message>().unwrap().unwrap();
        assert_eq!(event, store);
        let mut same = File::from(fd.unwrap());
        io::Seek::rewind(&mut same).unwrap();
        let mut text = String::new();
        same.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        let (event, fd) = ours.receive::<Message>().unwrap().unwrap();
        assert!(event == Message::Attached && fd.is_none());
        drop(theirs);
        assert!(ours.receive::<Message>().unwrap().is_none());
    }

    #[test]
    fn what_is_no_message_is_an_error_and_no_panic() {
        let (ours, theirs) = Line::pair().unwrap();
        let theirs = Line::new(theirs);
        for text in ["", "x", "{\"Start\":{}}", "\"Fly\""] {
            theirs.send(&text, None).unwrap();
            assert!(ours.receive::<Request>().is_err(), "{text}");
        }
        let long = "x".repeat(MAX_PACKET);
        assert!(theirs.send(&long, None).is_err());
    }
}
