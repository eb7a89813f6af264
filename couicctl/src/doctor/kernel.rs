//! Drivers and offloads of network interfaces, through the ethtool ioctl. Requires no privilege.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

/// From `linux/ethtool.h`: driver information, and the legacy flags of VLAN stripping and LRO.
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GFLAGS: u32 = 0x25;
const FLAG_RXVLAN: u32 = 1 << 8;
const FLAG_LRO: u32 = 1 << 15;
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// The index of the interface; None if there is none of this name.
pub(super) fn index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a NUL-terminated string.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
}

/// The driver of an interface: `virtio_net`, `ixgbe`, …
pub(super) fn driver(name: &str) -> Option<String> {
    // struct ethtool_drvinfo: the command, 32 bytes for the driver's name, and more.
    let mut info = [0_u8; 196];
    info[..4].copy_from_slice(&ETHTOOL_GDRVINFO.to_ne_bytes());
    ethtool(name, &mut info).ok()?;
    let text = info[4..36].split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// NIC offloads that change frames before XDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offloads {
    /// Strips VLAN tags.
    pub(super) rxvlan: bool,
    /// Merges packets.
    pub(super) lro: bool,
}

/// None if the driver does not report them.
pub(super) fn offloads(name: &str) -> Option<Offloads> {
    // struct ethtool_value: the command and the value.
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
    // SAFETY: all-zero is a valid ifreq.
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
    // SAFETY: the descriptor is new and has no other owner.
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
    fn loopback_has_an_index() {
        let lo = index("lo").unwrap();
        assert!(lo > 0);
        assert_eq!(index("no-such-iface"), None);
        assert_eq!(index("a\0b"), None);
        // The offloads of loopback differ between kernels; a name that is too long has none.
        assert_eq!(offloads("far-too-long-for-an-interface"), None);
        assert_eq!(driver("no-such-iface"), None);
    }
}
