//! What a program and its spawner say to each other: packets of one size over a `SOCK_SEQPACKET` pair, with descriptors
//! beside them.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, recvmsg, sendmsg};

/// Kind, number of the process, two values.
const SIZE: usize = 1 + 8 + 8 + 4;
/// As many as any message has.
const DESCRIPTORS: usize = 4;

/// What the program says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Start a process with so much memory for the plugin whose copy comes along, and call it by this number.
    Start { id: u64, memory: u64 },
    /// End it, and whatever it started.
    Kill { id: u64 },
}

/// What the spawner says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// It runs, and knows the copy by this descriptor. Its three pipes and its pidfd come along.
    Started { id: u64, pid: u32, copy: RawFd },
    /// It does not run, for this reason.
    Failed { id: u64, errno: i32 },
    /// It has ended, with this status as wait(2) has it.
    Ended { id: u64, status: i32 },
    /// The spawner itself was killed, and all its processes with it: whatever was said before is void.
    Anew,
}

type Packet = [u8; SIZE];

fn packet(kind: u8, id: u64, wide: u64, narrow: i32) -> Packet {
    let mut packet = [0; SIZE];
    packet[0] = kind;
    packet[1..9].copy_from_slice(&id.to_le_bytes());
    packet[9..17].copy_from_slice(&wide.to_le_bytes());
    packet[17..].copy_from_slice(&narrow.to_le_bytes());
    packet
}

fn parts(packet: &[u8]) -> Option<(u8, u64, u64, i32)> {
    let packet: &Packet = packet.try_into().ok()?;
    let (kind, rest) = packet.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (wide, rest) = rest.split_first_chunk()?;
    let narrow = i32::from_le_bytes(rest.try_into().ok()?);
    Some((
        *kind,
        u64::from_le_bytes(*id),
        u64::from_le_bytes(*wide),
        narrow,
    ))
}

/// One side's words.
pub(super) trait Message: Sized {
    fn write(self) -> Packet;
    fn read(packet: &[u8]) -> Option<Self>;
}

impl Message for Request {
    fn write(self) -> Packet {
        match self {
            Self::Start { id, memory } => packet(1, id, memory, 0),
            Self::Kill { id } => packet(2, id, 0, 0),
        }
    }

    fn read(packet: &[u8]) -> Option<Self> {
        match parts(packet)? {
            (1, id, memory, 0) => Some(Self::Start { id, memory }),
            (2, id, 0, 0) => Some(Self::Kill { id }),
            _ => None,
        }
    }
}

impl Message for Reply {
    fn write(self) -> Packet {
        match self {
            Self::Started { id, pid, copy } => packet(1, id, pid.into(), copy),
            Self::Failed { id, errno } => packet(2, id, 0, errno),
            Self::Ended { id, status } => packet(3, id, 0, status),
            Self::Anew => packet(4, 0, 0, 0),
        }
    }

    fn read(packet: &[u8]) -> Option<Self> {
        match parts(packet)? {
            (1, id, pid, copy) => Some(Self::Started {
                id,
                pid: pid.try_into().ok()?,
                copy,
            }),
            (2, id, 0, errno) => Some(Self::Failed { id, errno }),
            (3, id, 0, status) => Some(Self::Ended { id, status }),
            (4, 0, 0, 0) => Some(Self::Anew),
            _ => None,
        }
    }
}

/// Sends one message; never waits: who does not read for so long that the socket is full is told no more.
pub(super) fn send(
    to: BorrowedFd<'_>,
    message: impl Message,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let packet = message.write();
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let rights = if raw.is_empty() { &[][..] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    sendmsg::<()>(
        to.as_raw_fd(),
        &[IoSlice::new(&packet)],
        rights,
        flags,
        None,
    )?;
    Ok(())
}

/// Waits for one message; `None` at the end.
pub(super) fn receive<M: Message>(from: BorrowedFd<'_>) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut bytes = [0; SIZE + 1];
    let mut buffer = [IoSliceMut::new(&mut bytes)];
    let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received: RecvMsg<'_, '_, ()> = loop {
        match recvmsg(from.as_raw_fd(), &mut buffer, Some(&mut space), flags) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for control in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the kernel has just given these to this process, and nobody else knows them.
            descriptors.extend(
                raw.into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    let length = received.bytes;
    if length == 0 {
        return Ok(None);
    }
    let message = M::read(&bytes[..length]);
    let message = message.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "a packet that makes no sense")
    })?;
    Ok(Some((message, descriptors)))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read, os::fd::AsFd};

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SockFlag::SOCK_CLOEXEC;
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap()
    }

    #[test]
    fn what_is_said_is_heard_with_its_descriptors() {
        let (here, there) = pair();
        let (reader, writer) = io::pipe().unwrap();
        let said = Request::Start {
            id: 7,
            memory: u64::MAX,
        };
        send(here.as_fd(), said, &[writer.as_fd()]).unwrap();
        send(here.as_fd(), Request::Kill { id: 7 }, &[]).unwrap();
        drop(writer);
        let (heard, mut descriptors) = receive::<Request>(there.as_fd()).unwrap().unwrap();
        assert_eq!(heard, said);
        let copy = File::from(descriptors.pop().unwrap());
        io::Write::write_all(&mut &copy, b"x").unwrap();
        drop(copy);
        let mut text = String::new();
        { reader }.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        let (heard, none) = receive::<Request>(there.as_fd()).unwrap().unwrap();
        assert_eq!((heard, none.len()), (Request::Kill { id: 7 }, 0));
        for said in [
            Reply::Started {
                id: 1,
                pid: 2,
                copy: 3,
            },
            Reply::Failed {
                id: 1,
                errno: libc::EPERM,
            },
            Reply::Ended {
                id: u64::MAX,
                status: -1,
            },
            Reply::Anew,
        ] {
            send(there.as_fd(), said, &[]).unwrap();
            assert_eq!(receive::<Reply>(here.as_fd()).unwrap().unwrap().0, said);
        }
        drop(here);
        assert!(
            receive::<Request>(there.as_fd()).unwrap().is_none(),
            "the end"
        );
    }

    #[test]
    fn nonsense_is_an_error() {
        let (here, there) = pair();
        for bytes in [&b"x"[..], &[9; SIZE], &[1; SIZE + 1], &packet(2, 1, 1, 0)] {
            nix::unistd::write(&here, bytes).unwrap();
            assert!(receive::<Request>(there.as_fd()).is_err(), "{bytes:?}");
        }
    }
}
