//! Interfaces with their link layer and XDP program (`RTM_GETLINK` and its attribute `IFLA_XDP`, Linux 4.13).

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use couic_common::XdpMode;

use crate::{
    layer::{LinkLayer, kernel},
    message::{
        DUMP, INTERRUPTED, Message, REQUEST, attribute, double, messages, request, short, word,
    },
    socket::{receive, send, socket},
};

const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
/// Size of struct ifinfomsg.
const LINK: usize = 16;
/// The multicast group of interfaces.
const RTMGRP_LINK: u32 = 1;
/// Attempts to read a list that changes during the dump.
const ATTEMPTS: usize = 10;

/// The XDP program of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnInterface {
    /// Its id in the kernel.
    pub id: u32,
    /// Its mode of attachment.
    pub mode: XdpMode,
}

/// An interface of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index in the kernel, which is never reused.
    pub index: u32,
    /// Its current name.
    pub name: String,
    /// Whether it is a loopback.
    pub loopback: bool,
    /// Its link layer, which can change while it is down.
    pub layer: LinkLayer,
    /// Its XDP program.
    pub xdp: Option<OnInterface>,
}

/// The interface with this index; None if there is none.
pub fn interface(index: u32) -> io::Result<Option<Interface>> {
    let answer = receive(&get_link(REQUEST, index)?, 0)?;
    match messages(&answer).next() {
        Some(Ok(message)) => message.interface().map(Some),
        Some(Err(error)) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Some(Err(error)) => Err(error),
        None => Err(short()),
    }
}

/// All interfaces.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    for _ in 0..ATTEMPTS {
        if let Some(all) = dump()? {
            return Ok(all);
        }
    }
    let text = "the list of interfaces changes faster than it can be read";
    Err(io::Error::new(io::ErrorKind::Interrupted, text))
}

/// None if the list changed during the dump.
fn dump() -> io::Result<Option<Vec<Interface>>> {
    let socket = get_link(DUMP, 0)?;
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

/// A subscription to changes of interfaces.
#[derive(Debug)]
pub struct Changes(OwnedFd);

impl Changes {
    /// Subscribes to changes from now on.
    pub fn subscribe() -> io::Result<Self> {
        let socket = socket(libc::NETLINK_ROUTE)?;
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

    /// Discards all pending notifications without blocking. Their content does not matter, as subscribers list all
    /// interfaces again, even after an overflow of the socket buffer.
    pub fn drain(&self) {
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

/// Sends a request whose ifinfomsg has the index in its second word.
fn get_link(flags: u16, index: u32) -> io::Result<OwnedFd> {
    let mut body = [0; LINK];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    let socket = socket(libc::NETLINK_ROUTE)?;
    send(&socket, &request(libc::RTM_GETLINK, flags, &body))?;
    Ok(socket)
}

impl Message<'_> {
    fn interface(&self) -> io::Result<Interface> {
        let hardware = word(self.body, 2).ok_or_else(short)?;
        let index = double(self.body, 4).ok_or_else(short)?;
        let flags = double(self.body, 8).ok_or_else(short)?;
        let attributes = self.body.get(LINK..).ok_or_else(short)?;
        let name = attribute(attributes, IFLA_IFNAME).ok_or_else(short)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(Interface {
            index,
            name: String::from_utf8_lossy(name).into_owned(),
            loopback: flags & libc::IFF_LOOPBACK.cast_unsigned() != 0,
            layer: LinkLayer::of(hardware, kind(attributes), kernel()),
            xdp: attribute(attributes, IFLA_XDP).and_then(on_interface),
        })
    }
}

/// The kind of the device, as in `ip link add type KIND`; physical devices have none.
fn kind(attributes: &[u8]) -> &[u8] {
    let kind = attribute(attributes, IFLA_LINKINFO).and_then(|i| attribute(i, IFLA_INFO_KIND));
    let text = kind.and_then(|kind| kind.split(|byte| *byte == 0).next());
    text.unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::push;

    #[test]
    fn loopback_answers_and_a_missing_interface_is_none() {
        let lo = interface(1).unwrap().unwrap();
        assert!(lo.loopback && lo.name == "lo", "{lo:?}");
        assert_eq!(lo.layer, LinkLayer::Ethernet);
        assert_eq!(interface(0x7fff_fff0).unwrap(), None);
        assert!(interfaces().unwrap().contains(&lo));
    }

    #[test]
    fn pending_notices_are_drained_without_waiting() {
        let changes = Changes::subscribe().unwrap();
        changes.drain();
        let left = receive(&changes.0, libc::MSG_DONTWAIT);
        // Another test of this machine may change an interface at any time.
        assert!(left.is_ok() || left.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock));
    }

    #[test]
    fn broken_answers_are_errors() {
        for length in 1..16 + LINK {
            let answer = vec![0; length];
            let first = messages(&answer).next().unwrap();
            assert!(first.and_then(|m| m.interface()).is_err(), "{length}");
        }
    }

    #[test]
    fn the_kind_of_a_device_is_read_with_its_type() {
        let mut body = vec![0; LINK];
        body[2..4].copy_from_slice(&0xfffe_u16.to_ne_bytes());
        push(&mut body, IFLA_IFNAME, b"tun0\0");
        let mut info = Vec::new();
        push(&mut info, IFLA_INFO_KIND, b"tun\0");
        push(&mut body, IFLA_LINKINFO, &info);
        let answer = request(libc::RTM_NEWLINK, 0, &body);
        let message = messages(&answer).next().unwrap().unwrap();
        let tun0 = message.interface().unwrap();
        assert_eq!(
            (tun0.name.as_str(), tun0.layer),
            ("tun0", LinkLayer::Ip { generic: true })
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_messages_that_lie_in_them_or_an_error(
            answer in prop::collection::vec(any::<u8>(), 0..200),
            lengths in prop::collection::vec(0u8..40, 0..5),
        ) {
            // Headers with a plausible length, behind which nothing needs to follow.
            let parts = lengths.iter().map(|&length| {
                let mut part = vec![0; usize::from(length).max(16)];
                part[..4].copy_from_slice(&u32::from(length).to_ne_bytes());
                part
            });
            for answer in [answer, parts.collect::<Vec<_>>().concat()] {
                let (mut count, mut bytes) = (0, 0);
                for message in messages(&answer) {
                    count += 1;
                    if let Ok(interface) = message.and_then(|m| m.interface()) {
                        bytes += interface.name.len();
                    }
                }
                prop_assert!(count <= answer.len().div_ceil(16) && bytes <= answer.len());
            }
        }
    }
}
