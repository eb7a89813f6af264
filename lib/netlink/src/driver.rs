//! Capabilities of drivers (generic netlink family `netdev`, Linux 6.3).

use crate::{
    message::{REQUEST, attribute, messages, push, request, word},
    socket::{receive, send, socket},
};

/// struct genlmsghdr.
const GENERIC: usize = 4;
const CTRL: u16 = 0x10;
const CTRL_GETFAMILY: u8 = 3;
const CTRL_FAMILY_ID: u16 = 1;
const CTRL_FAMILY_NAME: u16 = 2;
const NETDEV_DEV_GET: u8 = 1;
const NETDEV_IFINDEX: u16 = 1;
const NETDEV_XDP_FEATURES: u16 = 3;
/// The driver supports programs that drop and pass.
const XDP_BASIC: u64 = 1;

/// Whether the driver of the interface with this index supports native XDP; None if there is no such interface, or the
/// kernel is too old to report it.
#[must_use]
pub fn runs_xdp(index: u32) -> Option<bool> {
    let family = ask(
        CTRL,
        CTRL_GETFAMILY,
        (CTRL_FAMILY_NAME, b"netdev\0"),
        CTRL_FAMILY_ID,
    )?;
    let family = word(&family, 0)?;
    let index = index.to_ne_bytes();
    let features = ask(
        family,
        NETDEV_DEV_GET,
        (NETDEV_IFINDEX, &index),
        NETDEV_XDP_FEATURES,
    )?;
    Some(u64::from_ne_bytes(*features.first_chunk()?) & XDP_BASIC != 0)
}

/// Sends a request with one attribute, and returns one attribute of the response.
fn ask(family: u16, command: u8, (kind, about): (u16, &[u8]), wanted: u16) -> Option<Vec<u8>> {
    // Version 1 of the command.
    let mut body = vec![command, 1, 0, 0];
    push(&mut body, kind, about);
    let socket = socket(libc::NETLINK_GENERIC).ok()?;
    send(&socket, &request(family, REQUEST, &body)).ok()?;
    let answer = receive(&socket, 0).ok()?;
    let message = messages(&answer).next()?.ok()?;
    attribute(message.body.get(GENERIC..)?, wanted).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_interface_has_no_driver() {
        assert_eq!(runs_xdp(0x7fff_fff0), None);
        // The features of loopback differ between kernels.
        let _ = runs_xdp(1);
    }
}
