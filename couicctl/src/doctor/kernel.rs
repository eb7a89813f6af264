//! What the kernel tells of network interfaces: XDP by netlink, drivers and offloads by the ethtool interface. No
//! privilege is needed for any of it.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

/// `linux/ethtool.h`: who drives the interface, legacy flags, and whether packets are merged on arrival.
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GFLAGS: u32 = 0x25;
const FLAG_RXVLAN: u32 = 1 << 8;
const FLAG_LRO: u32 = 1 << 15;
const SIOCETHTOOL: libc::Ioctl = 0x8946;

const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const HEADER: usize = 16;
const LINK: usize = 16;

/// Generic netlink (Linux 6.3 for the family `netdev`).
const GENERIC: usize = 4;
const CTRL: u16 = 0x10;
const CTRL_GETFAMILY: u8 = 3;
const CTRL_FAMILY_ID: u16 = 1;
const CTRL_FAMILY_NAME: u16 = 2;
const NETDEV_DEV_GET: u8 = 1;
const NETDEV_IFINDEX: u16 = 1;
const NETDEV_XDP_FEATURES: u16 = 3;
/// The driver runs programs that drop and pass.
const XDP_BASIC: u64 = 1;

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attached {
    /// The kernel's number for it.
    pub(super) id: u32,
    /// In the network stack rather than in the driver.
    pub(super) generic: bool,
}

/// The interface's number; None where there is none of that name.
pub(super) fn index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a string that ends in 0.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
}

/// The XDP program on an interface.
pub(super) fn attached(index: u32) -> io::Result<Option<Attached>> {
    let mut body = vec![0; LINK];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    let answer = ask(libc::NETLINK_ROUTE, libc::RTM_GETLINK, &body)?;
    let Some(xdp) = answer
        .get(LINK..)
        .and_then(|bytes| attribute(bytes, IFLA_XDP))
    else {
        return Ok(None);
    };
    let how = attribute(xdp, IFLA_XDP_ATTACHED).and_then(|bytes| bytes.first());
    let id = attribute(xdp, IFLA_XDP_PROG_ID).and_then(|bytes| bytes.first_chunk());
    Ok(match (how, id) {
        (None | Some(0), _) | (_, None) => None,
        (Some(how), Some(id)) => Some(Attached {
            id: u32::from_ne_bytes(*id),
            generic: *how == 2,
        }),
    })
}

/// Whether the driver runs XDP programs itself; None where the kernel is too old to say.
pub(super) fn native(index: u32) -> Option<bool> {
    let mut body = vec![CTRL_GETFAMILY, 1, 0, 0];
    push(&mut body, CTRL_FAMILY_NAME, b"netdev\0");
    let answer = ask(libc::NETLINK_GENERIC, CTRL, &body).ok()?;
    let family = attribute(answer.get(GENERIC..)?, CTRL_FAMILY_ID)?;
    let family = u16::from_ne_bytes(*family.first_chunk()?);
    let mut body = vec![NETDEV_DEV_GET, 1, 0, 0];
    push(&mut body, NETDEV_IFINDEX, &index.to_ne_bytes());
    let answer = ask(libc::NETLINK_GENERIC, family, &body).ok()?;
    let features = attribute(answer.get(GENERIC..)?, NETDEV_XDP_FEATURES)?;
    Some(u64::from_ne_bytes(*features.first_chunk()?) & XDP_BASIC != 0)
}

/// Who drives an interface: `virtio_net`, `ixgbe`, …
pub(super) fn driver(name: &str) -> Option<String> {
    // struct ethtool_drvinfo: the command, the driver's name in 32 bytes, and more.
    let mut info = [0_u8; 196];
    info[..4].copy_from_slice(&ETHTOOL_GDRVINFO.to_ne_bytes());
    ethtool(name, &mut info).ok()?;
    let text = info[4..36].split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// What the card does to frames before XDP sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offloads {
    /// It takes VLAN tags off.
    pub(super) rxvlan: bool,
    /// It merges packets.
    pub(super) lro: bool,
}

/// None where the driver does not tell.
pub(super) fn offloads(name: &str) -> Option<Offloads> {
    // struct ethtool_value: the command and the answer.
    let mut value = [0_u8; 8];
    value[..4].copy_from_slice(&ETHTOOL_GFLAGS.to_ne_bytes());
    ethtool(name, &mut value).ok()?;
    let flags = u32::from_ne_bytes(*value[4..].first_chunk()?);
    Some(Offloads {
        rxvlan: flags & FLAG_RXVLAN != 0,
        lro: flags & FLAG_LRO != 0,
    })
}

fn ethtool(name: &str, data: &mut [u8]) -> io::Result<()> {
    // SAFETY: a structure of integers and a pointer, for which 0 is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let bytes = name.as_bytes();
    if bytes.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: `data` is at least as large as the structure that its first word names, and outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor that nobody else owns.
    unsafe {
        let fd = libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// One question by netlink, and what follows the header of its answer.
fn ask(protocol: i32, kind: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    let socket = socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol)?;
    // nlmsghdr: length, type, flags (NLM_F_REQUEST), sequence, port.
    let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
    let mut request = Vec::with_capacity(HEADER + body.len());
    request.extend(length.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(1_u16.to_ne_bytes());
    request.extend([0; 8]);
    request.extend(body);
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
    let mut answer = vec![0_u8; 64 << 10];
    // SAFETY: the buffer is as long as said.
    let got = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            answer.as_mut_ptr().cast(),
            answer.len(),
            0,
        )
    };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    answer.truncate(got);
    let short = || io::Error::new(io::ErrorKind::InvalidData, "netlink gave a short answer");
    if i32::from(word(&answer, 4).ok_or_else(short)?) == libc::NLMSG_ERROR {
        let errno = answer.get(HEADER..).and_then(|bytes| bytes.first_chunk());
        let errno = i32::from_ne_bytes(*errno.ok_or_else(short)?);
        return Err(io::Error::from_raw_os_error(-errno));
    }
    answer.get(HEADER..).map(<[u8]>::to_vec).ok_or_else(short)
}

fn push(body: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    // Attributes here have a few bytes.
    let length = u16::try_from(4 + payload.len()).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(payload);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*word))
}

/// The payload of the first attribute of a kind.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    const NESTED: u16 = 0x8000;
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
    use super::*;

    #[test]
    fn loopback_tells_of_itself() {
        let lo = index("lo").unwrap();
        assert!(attached(lo).is_ok());
        assert_eq!(index("no-such-iface"), None);
        assert_eq!(index("a\0b"), None);
        assert!(attached(0x7fff_fff0).is_err());
        // What loopback has of these differs from kernel to kernel; a name that is too long never has any.
        assert_eq!(offloads("far-too-long-for-an-interface"), None);
        assert_eq!(driver("no-such-iface"), None);
        assert!(native(0x7fff_fff0).is_none());
    }

    #[test]
    fn attributes_are_padded_and_found() {
        let mut body = Vec::new();
        push(&mut body, 7, b"abc");
        push(&mut body, 9, &5_u32.to_ne_bytes());
        assert_eq!(body.len(), 16);
        assert_eq!(attribute(&body, 7), Some(&b"abc"[..]));
        assert_eq!(attribute(&body, 9), Some(&5_u32.to_ne_bytes()[..]));
        assert_eq!(attribute(&body, 8), None);
        assert_eq!(attribute(&[255, 0, 7, 0, 1], 7), None);
        assert_eq!(attribute(&[0, 0, 7, 0], 8), None);
    }
}
