//! What the kernel tells of network interfaces by the ethtool interface: drivers and offloads. No privilege is needed.

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

/// The interface's number; None where there is none of that name.
pub(super) fn index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a string that ends in 0.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
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
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
    let socket = socket()?;
    // SAFETY: `data` is at least as large as the structure that its first word names, and outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn socket() -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor that nobody else owns.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_tells_of_itself() {
        let lo = index("lo").unwrap();
        assert!(lo > 0);
        assert_eq!(index("no-such-iface"), None);
        assert_eq!(index("a\0b"), None);
        // What loopback has of these differs from kernel to kernel; a name that is too long never has any.
        assert_eq!(offloads("far-too-long-for-an-interface"), None);
        assert_eq!(driver("no-such-iface"), None);
    }
}
