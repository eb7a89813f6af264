//! The protocol between the serving process and its attacher: one JSON document per packet over a pair of
//! `SOCK_SEQPACKET` sockets, with at most one descriptor (`SCM_RIGHTS`).
//!
//! The serving process can request only what the configuration allows: after [`Request::Start`], no request contains an
//! interface or a path, and there is one program per role.

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

/// In bytes; all names and messages are far shorter.
const MAX_PACKET: usize = 64 << 10;

/// A request to the attacher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The first request.
    Start(Start),
    /// One of our programs, with its descriptor.
    Program {
        /// Its role.
        role: Role,
        /// Its ID.
        id: u32,
    },
    /// A link from systemd's descriptor store, with its descriptor.
    StoredLink {
        /// Its name in the store.
        name: String,
    },
    /// The attacher's lock on the working directory, with its descriptor.
    Lock,
    /// Attach our program to all interfaces; answered by `Attached` or `Refused`.
    Attach,
    /// Check all interfaces now; a report follows.
    Check,
    /// Answered by `Alive`, unless the process is stopped or blocked.
    Probe,
    /// Detach our program from all interfaces and store nothing; answered by `Detached`.
    Detach,
}

/// The configuration of an attacher, fixed for its lifetime.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// `ifaces`.
    pub(crate) ifaces: Vec<String>,
    /// `operation_mode`.
    pub(crate) mode: OperationMode,
    /// Where links are stored.
    pub(crate) place: Place,
    /// The pin directory; needed to remove old pins, too, if links are stored elsewhere.
    pub(crate) pins: PathBuf,
    /// The configured user and group, as IDs.
    pub(crate) owner: (u32, u32),
    /// Milliseconds between two checks.
    pub(crate) period: u32,
}

/// A message from the attacher.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// It is confined, and ready for its program.
    Ready,
    /// Answer to [`Request::Attach`]: success.
    Attached,
    /// Answer to [`Request::Attach`]: failure.
    Refused(String),
    /// Answer to [`Request::Detach`].
    Detached,
    /// Answer to [`Request::Probe`].
    Alive,
    /// Part of a report: an interface.
    Interface(InterfaceState),
    /// Part of a report: another problem for health.
    Problem(String),
    /// Part of a report: why the filter does not survive this process.
    Unsaved(String),
    /// The report is complete and replaces the previous one.
    Reported,
    /// A link to be stored by systemd, with its descriptor.
    Store {
        /// Its name.
        name: String,
    },
    /// The link that systemd stores under this name is to be removed.
    Remove {
        /// Its name.
        name: String,
    },
    /// A line for the log.
    Note {
        /// Its severity.
        level: Level,
        /// The line.
        text: String,
    },
    /// An attachment differed from the configuration.
    Difference {
        /// Whether it was repaired.
        repaired: bool,
    },
}

/// The severity of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Level {
    /// No action needed.
    Info,
    /// Degraded.
    Warn,
    /// Action needed.
    Error,
}

/// One end of the connection.
#[derive(Debug)]
pub(crate) struct Line(OwnedFd);

impl Line {
    /// Both ends of a new connection.
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

    /// Shuts the connection down in both directions, for all holders of this end.
    pub(crate) fn hang_up(&self) {
        // SAFETY: no pointers are passed.
        unsafe { libc::shutdown(self.raw(), libc::SHUT_RDWR) };
    }

    /// Sends a packet, with an optional descriptor.
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

    /// Receives a packet; `None` if the other end is closed.
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
            // SAFETY: the kernel has just created these descriptors, and nothing else owns them.
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
            // The peer exited with unread packets.
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
    fn packets_and_descriptors_arrive_and_the_end_is_reported() {
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
    fn an_invalid_message_is_an_error_and_no_panic() {
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
