//! Asks the kernel which XDP program an interface has: `RTM_GETLINK` and its attribute `IFLA_XDP` (Linux 4.13).

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use couic_common::XdpMode;

const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const NESTED: u16 = 0x8000;
const HEADER: usize = 16;
const LINK: usize = 16;

/// The XDP program of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OnInterface {
    /// The kernel's number for it.
    pub(super) id: u32,
    /// How it is attached.
    pub(super) mode: XdpMode,
}

/// What is attached to the interface with this index; an error of kind `NotFound` where there is no such interface.
pub(super) fn attached(index: u32) -> io::Result<Option<OnInterface>> {
    let socket = socket()?;
    // nlmsghdr: length, type, flags (NLM_F_REQUEST), sequence, port; then ifinfomsg with the index in its second word.
    let mut request = Vec::with_capacity(HEADER + LINK);
    request.extend(32u32.to_ne_bytes());
    request.extend(libc::RTM_GETLINK.to_ne_bytes());
    request.extend(1u16.to_ne_bytes());
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
    let mut answer = vec![0u8; 64 << 10];
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
    read_answer(answer.get(..got).unwrap_or_default())
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

fn read_answer(answer: &[u8]) -> io::Result<Option<OnInterface>> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "netlink gave a short answer");
    let kind = word(answer, 4).ok_or_else(short)?;
    if i32::from(kind) == libc::NLMSG_ERROR {
        let errno = answer
            .get(HEADER..HEADER + 4)
            .and_then(|b| b.try_into().ok());
        let errno = i32::from_ne_bytes(errno.ok_or_else(short)?);
        if errno == -libc::ENODEV {
            return Err(io::ErrorKind::NotFound.into());
        }
        return Err(io::Error::from_raw_os_error(-errno));
    }
    let attributes = answer.get(HEADER + LINK..).ok_or_else(short)?;
    let Some(xdp) = attribute(attributes, IFLA_XDP) else {
        return Ok(None);
    };
    let mode = match attribute(xdp, IFLA_XDP_ATTACHED).and_then(|b| b.first()) {
        None | Some(0) => return Ok(None),
        Some(2) => XdpMode::Generic,
        Some(3) => XdpMode::Offloaded,
        Some(_) => XdpMode::Native,
    };
    let id = attribute(xdp, IFLA_XDP_PROG_ID).and_then(|b| b.get(..4)?.try_into().ok());
    Ok(id.map(|id| OnInterface {
        id: u32::from_ne_bytes(id),
        mode,
    }))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)?
        .try_into()
        .ok()
        .map(u16::from_ne_bytes)
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
    use super::*;

    #[test]
    fn loopback_answers_and_a_missing_interface_is_not_found() {
        assert!(attached(1).is_ok());
        let error = attached(0x7fff_fff0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn broken_answers_are_errors() {
        for length in 0..HEADER + LINK {
            assert!(read_answer(&vec![0; length]).is_err(), "{length}");
        }
        assert!(attribute(&[0, 0, 43, 0], IFLA_XDP).is_none());
        assert!(attribute(&[255, 0, 43, 0, 1], IFLA_XDP).is_none());
    }
}
