//! Asks the kernel which interfaces there are and which XDP program each has (`RTM_GETLINK` and its attribute
//! `IFLA_XDP`, Linux 4.13), and hears when one comes, goes or is renamed.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use couic_common::XdpMode;

const IFLA_IFNAME: u16 = 3;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const NESTED: u16 = 0x8000;
const HEADER: usize = 16;
const LINK: usize = 16;
/// `NLM_F_REQUEST`, alone and with `NLM_F_DUMP`.
const REQUEST: u16 = 1;
const DUMP: u16 = 0x301;
/// `NLM_F_DUMP_INTR`: something changed while the kernel was listing.
const INTERRUPTED: u16 = 0x10;
/// The multicast group of interfaces.
const RTMGRP_LINK: u32 = 1;
/// How often a list is asked for that changes while it is read.
const ATTEMPTS: usize = 10;

/// The XDP program of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OnInterface {
    /// The kernel's number for it.
    pub(crate) id: u32,
    /// How it is attached.
    pub(crate) mode: XdpMode,
}

/// An interface of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// The kernel's number for it: never given twice.
    pub(crate) index: u32,
    /// What it is called now.
    pub(crate) name: String,
    /// Whether it is a loopback.
    pub(crate) loopback: bool,
    /// What runs on it.
    pub(crate) xdp: Option<OnInterface>,
}

/// The interface with this index, None where there is none.
pub(crate) fn interface(index: u32) -> io::Result<Option<Interface>> {
    let socket = request(REQUEST, index)?;
    let answer = receive(&socket, 0)?;
    match messages(&answer).next() {
        Some(Ok(message)) => message.interface().map(Some),
        Some(Err(error)) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Some(Err(error)) => Err(error),
        None => Err(short()),
    }
}

/// All interfaces.
pub(crate) fn interfaces() -> io::Result<Vec<Interface>> {
    for _ in 0..ATTEMPTS {
        if let Some(all) = dump()? {
            return Ok(all);
        }
    }
    let text = "the list of interfaces changes faster than it can be read";
    Err(io::Error::new(io::ErrorKind::Interrupted, text))
}

/// None where something changed meanwhile.
fn dump() -> io::Result<Option<Vec<Interface>>> {
    let socket = request(DUMP, 0)?;
    let (mut all, mut whole) = (Vec::new(), true);
    loop {
        let answer = receive(&socket, 0)?;
        for message in messages(&answer) {
            let message = message?;
            whole &= message.flags & INTERRUPTED == 0;
            if i32::from(message.kind) == libc::NLMSG_DONE {
                return Ok(whole.then_some(all));
            }
            all.push(message.interface()?);
        }
    }
}

/// Hears of changes of interfaces from when it is made.
#[derive(Debug)]
pub(crate) struct Changes(OwnedFd);

impl Changes {
    /// Listens.
    pub(crate) fn listen() -> io::Result<Self> {
        let socket = socket()?;
        // SAFETY: all-zero is a valid sockaddr_nl.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::sa_family_t::try_from(libc::AF_NETLINK).unwrap_or_default();
        address.nl_groups = RTMGRP_LINK;
        let len = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or_default();
        // SAFETY: address and length describe one live sockaddr_nl.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
        if bound < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(socket))
    }

    /// Takes what has come, without waiting. What it was does not matter: who hears of it looks at everything, also
    /// where the kernel had more to say than its buffer holds.
    pub(crate) fn drain(&self) {
        loop {
            match receive(&self.0, libc::MSG_DONTWAIT) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(_) => return,
            }
        }
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends `RTM_GETLINK`: nlmsghdr (length, type, flags, sequence, port), then ifinfomsg with the index in its second word.
fn request(flags: u16, index: u32) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let mut request = Vec::with_capacity(HEADER + LINK);
    request.extend(32u32.to_ne_bytes());
    request.extend(libc::RTM_GETLINK.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([0; 4]);
    request.extend(index.to_ne_bytes());
    request.extend([0; 8]);
    // SAFETY: the buffer is as long as said.
    let sent = unsafe {
        libc::send(
            socket.as_raw_fd(),
            request.as_ptr().cast(),
            request.len(),
            0,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

fn receive(socket: &OwnedFd, flags: libc::c_int) -> io::Result<Vec<u8>> {
    let mut answer = vec![0u8; 64 << 10];
    let (buffer, len) = (answer.as_mut_ptr().cast(), answer.len());
    // SAFETY: the buffer is as long as said.
    let got = unsafe { libc::recv(socket.as_raw_fd(), buffer, len, flags) };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    answer.truncate(got);
    Ok(answer)
}

fn socket() -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor that nobody else owns.
    unsafe {
        let fd = libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        );
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "netlink gave a short answer")
}

/// One message of an answer.
struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

/// The messages of an answer; one that says "error" is one, and one that is cut off ends them.
fn messages(mut answer: &[u8]) -> impl Iterator<Item = io::Result<Message<'_>>> {
    std::iter::from_fn(move || {
        if answer.is_empty() {
            return None;
        }
        let first = message(answer);
        let length = double(answer, 0).and_then(|n| usize::try_from(n).ok());
        let next = length.map_or(answer.len(), |n| n.next_multiple_of(4).max(HEADER));
        answer = match &first {
            Ok(_) => answer.get(next..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(first)
    })
}

fn message(answer: &[u8]) -> io::Result<Message<'_>> {
    let length = double(answer, 0).and_then(|n| usize::try_from(n).ok());
    let kind = word(answer, 4).ok_or_else(short)?;
    let flags = word(answer, 6).ok_or_else(short)?;
    let body = answer.get(HEADER..length.ok_or_else(short)?);
    let body = body.ok_or_else(short)?;
    if i32::from(kind) == libc::NLMSG_ERROR {
        let errno = double(body, 0).ok_or_else(short)?.cast_signed();
        return Err(io::Error::from_raw_os_error(errno.saturating_neg()));
    }
    Ok(Message { kind, flags, body })
}

impl Message<'_> {
    fn interface(&self) -> io::Result<Interface> {
        let index = double(self.body, 4).ok_or_else(short)?;
        let flags = double(self.body, 8).ok_or_else(short)?;
        let attributes = self.body.get(LINK..).ok_or_else(short)?;
        let name = attribute(attributes, IFLA_IFNAME).ok_or_else(short)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(Interface {
            index,
            name: String::from_utf8_lossy(name).into_owned(),
            loopback: flags & libc::IFF_LOOPBACK.cast_unsigned() != 0,
            xdp: attribute(attributes, IFLA_XDP).and_then(on_interface),
        })
    }
}

fn on_interface(xdp: &[u8]) -> Option<OnInterface> {
    let mode = match attribute(xdp, IFLA_XDP_ATTACHED)?.first()? {
        0 => return None,
        2 => XdpMode::Generic,
        3 => XdpMode::Offloaded,
        _ => XdpMode::Native,
    };
    let id = double(attribute(xdp, IFLA_XDP_PROG_ID)?, 0)?;
    Some(OnInterface { id, mode })
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_ne_bytes(bytes))
}

fn double(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

/// The payload of the first attribute of a kind.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (length, kind) = (usize::from(word(bytes, 0)?), word(bytes, 2)?);
        let payload = bytes.get(4..length)?;
        if kind & !NESTED == wanted {
            return Some(payload);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn loopback_answers_and_a_missing_interface_is_none() {
        let lo = interface(1).unwrap().unwrap();
        assert!(lo.loopback && lo.name == "lo", "{lo:?}");
        assert_eq!(interface(0x7fff_fff0).unwrap(), None);
        assert!(interfaces().unwrap().contains(&lo));
    }

    #[test]
    fn nothing_has_come_yet() {
        Changes::listen().unwrap().drain();
    }

    #[test]
    fn broken_answers_are_errors() {
        for length in 1..HEADER + LINK {
            let answer = vec![0; length];
            let first = messages(&answer).next().unwrap();
            assert!(first.and_then(|m| m.interface()).is_err(), "{length}");
        }
        assert!(attribute(&[0, 0, 43, 0], IFLA_XDP).is_none());
        assert!(attribute(&[255, 0, 43, 0, 1], IFLA_XDP).is_none());
    }

    proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic_or_hang(answer in prop::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&answer) {
                let _ = message.and_then(|m| m.interface());
            }
        }
    }
}
