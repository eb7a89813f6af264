//! The channel between two processes that run Couic's code alone: a pair of `SOCK_SEQPACKET` sockets, one JSON document a
//! packet, with at most one descriptor beside it (`SCM_RIGHTS`).
//!
//! What it guarantees:
//! - A packet arrives whole or not at all; one that is too long, cut, or no document of the expected type is an error.
//! - A received descriptor is close-on-exec, and closed with the packet that is refused.
//! - The death of the other end is the end of the channel, or `UnexpectedEof` where it left packets unread. Sending to
//!   it is `BrokenPipe`, never SIGPIPE.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    cmsg_space,
    sys::socket::{
        AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, Shutdown, SockFlag,
        SockType, recvmsg, sendmsg, shutdown, socketpair,
    },
};
use serde::{Serialize, de::DeserializeOwned};

/// The longest packet, in bytes of JSON.
const LONGEST: usize = 64 << 10;

/// One end.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// A new channel: this process's end, and the descriptor for the other process.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self(ours), theirs))
    }

    /// The end that another process has passed on.
    #[must_use]
    pub const fn new(end: OwnedFd) -> Self {
        Self(end)
    }

    /// The same end once more, for another thread.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// The number of the descriptor.
    #[must_use]
    pub fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Ends the channel in both directions, for every holder of this end.
    pub fn hang_up(&self) {
        // On error there is no connection any more, which is the same.
        let _ = shutdown(self.raw(), Shutdown::Both);
    }

    /// Sends a packet, with a descriptor or without; waits while the socket's buffer is full.
    ///
    /// # Errors
    /// `InvalidInput` for a document of more than 64 KiB; those of sendmsg(2).
    pub fn send<T: Serialize>(
        &self,
        document: &T,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        self.send_with(document, descriptor, MsgFlags::empty())
    }

    /// As [`send`](Self::send), but never waits.
    ///
    /// # Errors
    /// As [`send`](Self::send), and `WouldBlock` while the socket's buffer is full.
    pub fn try_send<T: Serialize>(
        &self,
        document: &T,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        self.send_with(document, descriptor, MsgFlags::MSG_DONTWAIT)
    }

    fn send_with<T: Serialize>(
        &self,
        document: &T,
        descriptor: Option<BorrowedFd<'_>>,
        flags: MsgFlags,
    ) -> io::Result<()> {
        let body = serde_json::to_vec(document)?;
        if body.len() > LONGEST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let raw: Vec<RawFd> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights };
        let body = [IoSlice::new(&body)];
        let flags = flags | MsgFlags::MSG_NOSIGNAL;
        retry(|| sendmsg::<()>(self.raw(), &body, control, flags, None))?;
        Ok(())
    }

    /// Waits for a packet; `None` at the end of the channel.
    ///
    /// # Errors
    /// `InvalidData` for what is no packet of this type, `UnexpectedEof` if the other end died with packets unread,
    /// `WouldBlock` after the socket's timeout, if one is set; those of recvmsg(2).
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let mut body = vec![0; LONGEST];
        let mut space = cmsg_space!(RawFd);
        let mut buffer = [IoSliceMut::new(&mut body)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let (length, cut, descriptors) = retry(|| {
            let packet = recvmsg::<()>(self.raw(), &mut buffer, Some(&mut space), flags)?;
            let cut = MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC;
            let cut = packet.flags.intersects(cut);
            Ok((packet.bytes, cut, descriptors(&packet)))
        })?;
        if length == 0 {
            return Ok(None);
        }
        if cut {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let document = serde_json::from_slice(body.get(..length).unwrap_or_default())?;
        Ok(Some((document, descriptors.into_iter().next())))
    }
}

/// For options of the socket, and to wait for it.
impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn descriptors(packet: &RecvMsg<'_, '_, ()>) -> Vec<OwnedFd> {
    let mut all = Vec::new();
    for message in packet.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(raw) = message {
            // SAFETY: the kernel has just made these descriptors for this process; nothing else owns them.
            let owned = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
            all.extend(raw.into_iter().map(owned));
        }
    }
    all
}

fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(nix::errno::Errno::EINTR) => {}
            // The other end died with packets unread.
            Err(nix::errno::Errno::ECONNRESET) => return Err(io::ErrorKind::UnexpectedEof.into()),
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

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Order {
        Go { to: u32 },
        Stop,
    }

    fn ends() -> (Channel, Channel) {
        let (ours, theirs) = Channel::pair().unwrap();
        (ours, Channel::new(theirs))
    }

    #[test]
    fn packets_and_descriptors_arrive_in_order_until_the_end() {
        let (ours, theirs) = ends();
        let (mut reader, writer) = io::pipe().unwrap();
        ours.send(&Order::Go { to: 7 }, Some(writer.as_fd()))
            .unwrap();
        ours.try_send(&Order::Stop, None).unwrap();
        drop(writer);
        let (order, descriptor) = theirs.receive::<Order>().unwrap().unwrap();
        assert_eq!(order, Order::Go { to: 7 });
        File::from(descriptor.unwrap()).write_all(b"x").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x", "and no other copy of it is open");
        let (order, descriptor) = theirs.receive::<Order>().unwrap().unwrap();
        assert!(order == Order::Stop && descriptor.is_none());
        drop(ours);
        assert!(theirs.receive::<Order>().unwrap().is_none());
        let error = theirs.send(&Order::Stop, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn what_is_no_packet_is_an_error_and_its_descriptor_closed() {
        let (ours, theirs) = ends();
        let (mut reader, writer) = io::pipe().unwrap();
        theirs.send(&"Fly", Some(writer.as_fd())).unwrap();
        drop(writer);
        assert!(ours.receive::<Order>().is_err());
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "closed");
        for bytes in [&b"x"[..], b"{\"Go\":{}}", b"\"Stop\" \"Stop\""] {
            nix::unistd::write(&theirs, bytes).unwrap();
            assert!(ours.receive::<Order>().is_err(), "{bytes:?}");
        }
        // Valid JSON in front of what is cut off.
        let long = [b"\"Stop\"".as_slice(), &[b' '; LONGEST]].concat();
        nix::unistd::write(&theirs, &long).unwrap();
        let error = ours.receive::<Order>().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(theirs.send(&"x".repeat(LONGEST), None).is_err());
    }

    #[test]
    fn a_full_buffer_refuses_what_must_not_wait() {
        let (ours, theirs) = ends();
        let refused = (0..1_000_000).find_map(|_| ours.try_send(&Order::Stop, None).err());
        assert_eq!(refused.unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(theirs);
        let error = ours.receive::<Order>().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn hanging_up_ends_every_copy_of_an_end() {
        let (ours, theirs) = ends();
        let same = ours.try_clone().unwrap();
        ours.hang_up();
        assert!(same.receive::<Order>().unwrap().is_none());
        assert!(theirs.receive::<Order>().unwrap().is_none());
    }
}
