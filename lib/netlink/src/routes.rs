//! The default gateways, by a route dump over rtnetlink(7).
//!
//! `/proc/net/route` would be shorter, but shows one hop of a multipath route, no IPv6 hop of an IPv4 route
//! (RFC 8950), and the main table alone.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsRawFd,
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

const NLMSG_HDR: usize = 16;
const RTMSG: usize = 12;
const RTNEXTHOP: usize = 8;
/// Of linux/rtnetlink.h; libc has it for glibc only.
const RTA_VIA: u16 = 18;

/// As large as the kernel makes a part of a dump, twice.
const BUFFER: usize = 64 * 1024;

/// Every next hop of every default route, IPv4 and IPv6, in one piece or in halves.
///
/// # Errors
/// The system's, or the kernel's answer is malformed.
pub fn default_gateways() -> io::Result<Vec<IpAddr>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    // The kernel answers at once; a request must not hang should it not.
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(2, 0))?;
    let fd = socket.as_raw_fd();
    let mut gateways = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        send(fd, &dump_request(family), MsgFlags::empty())?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = recv(fd, &mut buffer, MsgFlags::empty())?;
            if read_part(&buffer[..length], &mut gateways)? {
                break;
            }
        }
    }
    gateways.sort();
    gateways.dedup();
    Ok(gateways)
}

/// A netlink header and a `struct rtmsg` that names nothing but the family.
fn dump_request(family: i32) -> [u8; NLMSG_HDR + RTMSG] {
    let mut request = [0; NLMSG_HDR + RTMSG];
    request[0..4].copy_from_slice(&28_u32.to_ne_bytes());
    request[4..6].copy_from_slice(&libc::RTM_GETROUTE.to_ne_bytes());
    request[6..8].copy_from_slice(&0x0301_u16.to_ne_bytes()); // NLM_F_REQUEST | NLM_F_DUMP
    request[8..12].copy_from_slice(&1_u32.to_ne_bytes()); // sequence
    request[NLMSG_HDR] = family.to_ne_bytes()[if cfg!(target_endian = "little") { 0 } else { 3 }];
    request
}

/// True at the end of the dump.
fn read_part(mut part: &[u8], gateways: &mut Vec<IpAddr>) -> io::Result<bool> {
    while let Some((message, rest)) = split(part, u32_at(part, 0)) {
        match u16_at(message, 4).map(i32::from) {
            Some(libc::NLMSG_DONE) => return Ok(true),
            Some(libc::NLMSG_ERROR) => {
                let code = u32_at(message, NLMSG_HDR).unwrap_or(0).cast_signed();
                return Err(io::Error::from_raw_os_error(-code));
            }
            Some(kind) if kind == i32::from(libc::RTM_NEWROUTE) => {
                route(&message[NLMSG_HDR..], gateways);
            }
            _ => {}
        }
        part = rest;
    }
    if part.is_empty() {
        Ok(false)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a route message from the kernel is cut off",
        ))
    }
}

/// `struct rtmsg`: family, dst_len, src_len, tos, table, protocol, scope, type, flags; attributes follow.
fn route(message: &[u8], gateways: &mut Vec<IpAddr>) {
    // Routes to halves stand for a default route that is left in place: 0.0.0.0/1 and 128.0.0.0/1 of VPNs, 2000::/3.
    let widest = |family| if family == libc::AF_INET { 1 } else { 3 };
    let family = message.first().map(|family| i32::from(*family));
    let is_wide = |length: &u8| family.is_some_and(|family| *length <= widest(family));
    let is_default =
        message.get(1).is_some_and(is_wide) && message.get(7) == Some(&libc::RTN_UNICAST);
    if let Some(attributes) = message.get(RTMSG..).filter(|_| is_default) {
        hops(attributes, gateways);
    }
}

fn hops(mut attributes: &[u8], gateways: &mut Vec<IpAddr>) {
    while let Some((attribute, rest)) = split(attributes, u16_at(attributes, 0).map(u32::from)) {
        let content = attribute.get(4..).unwrap_or_default();
        match u16_at(attribute, 2) {
            Some(libc::RTA_GATEWAY) => gateways.extend(address(content)),
            // A family in front of the address.
            Some(RTA_VIA) => gateways.extend(content.get(2..).and_then(address)),
            Some(libc::RTA_MULTIPATH) => multipath(content, gateways),
            _ => {}
        }
        attributes = rest;
    }
}

/// A row of `struct rtnexthop`, each with attributes of its own.
fn multipath(mut row: &[u8], gateways: &mut Vec<IpAddr>) {
    while let Some((hop, rest)) = split(row, u16_at(row, 0).map(u32::from)) {
        hops(hop.get(RTNEXTHOP..).unwrap_or_default(), gateways);
        row = rest;
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = |b: [u8; 4]| Ipv4Addr::from(b).into();
    let v6 = |b: [u8; 16]| Ipv6Addr::from(b).into();
    bytes
        .try_into()
        .map(v4)
        .or_else(|_| bytes.try_into().map(v6))
        .ok()
}

/// The first item of a row whose items begin on multiples of 4 bytes. None at the end, and if a length is absurd.
fn split(row: &[u8], length: Option<u32>) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(length?).ok().filter(|l| *l >= 4)?;
    let item = row.get(..length)?;
    Some((
        item,
        row.get(length.next_multiple_of(4)..).unwrap_or_default(),
    ))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let found = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_ne_bytes(found))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(found))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(kind: u16, content: &[u8]) -> Vec<u8> {
        let mut item = Vec::new();
        item.extend(u16::try_from(4 + content.len()).unwrap().to_ne_bytes());
        item.extend(kind.to_ne_bytes());
        item.extend(content);
        item.resize(item.len().next_multiple_of(4), 0);
        item
    }

    fn message(kind: u16, content: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        message.extend(
            u32::try_from(NLMSG_HDR + content.len())
                .unwrap()
                .to_ne_bytes(),
        );
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(content);
        message
    }

    fn new_route(dst_len: u8, attributes: &[u8]) -> Vec<u8> {
        let head = [2, dst_len, 0, 0, 254, 3, 0, libc::RTN_UNICAST, 0, 0, 0, 0];
        message(libc::RTM_NEWROUTE, &[&head[..], attributes].concat())
    }

    #[test]
    fn finds_plain_multipath_and_foreign_family_hops() {
        let v6 = Ipv6Addr::LOCALHOST.octets();
        let gateway = |last: u8| item(libc::RTA_GATEWAY, &[192, 0, 2, last]);
        let via = item(RTA_VIA, &[&10_u16.to_ne_bytes()[..], &v6].concat());
        let hop = |attribute: &[u8]| {
            let length = u16::try_from(RTNEXTHOP + attribute.len()).unwrap();
            [&length.to_ne_bytes()[..], &[0; 6], attribute].concat()
        };
        let row = [hop(&gateway(2)), hop(&via)].concat();
        let part = [
            new_route(0, &gateway(1)),
            new_route(24, &gateway(9)),
            new_route(1, &gateway(3)),
            new_route(2, &gateway(8)),
            new_route(0, &item(libc::RTA_MULTIPATH, &row)),
            message(3, &[0; 4]),
        ]
        .concat();
        let mut gateways = Vec::new();
        assert!(read_part(&part, &mut gateways).unwrap(), "the dump ends");
        let expected: Vec<IpAddr> = ["192.0.2.1", "192.0.2.3", "192.0.2.2", "::1"]
            .map(|a| a.parse().unwrap())
            .into();
        assert_eq!(gateways, expected);
    }

    #[test]
    fn an_error_of_the_kernel_is_told() {
        let refused = message(2, &(-libc::EPERM).to_ne_bytes());
        let error = read_part(&refused, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn agrees_with_proc_on_this_host() {
        let gateways = default_gateways().unwrap();
        let table = std::fs::read_to_string("/proc/net/route").unwrap();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[1] == "00000000" && fields[7] == "00000000" && fields[2] != "00000000" {
                let raw = u32::from_str_radix(fields[2], 16).unwrap();
                let gateway = IpAddr::from(raw.to_ne_bytes());
                assert!(gateways.contains(&gateway), "{gateway} in {gateways:?}");
            }
        }
    }

    proptest! {
        /// On any input, reading ends and does not panic, and every address that is found is in the input.
        #[test]
        fn any_bytes_are_survived(
            noise in prop::collection::vec(any::<u8>(), 0..300),
            attributes in prop::collection::vec(
                (
                    prop::sample::select(vec![libc::RTA_GATEWAY, RTA_VIA, libc::RTA_MULTIPATH]),
                    prop::collection::vec(any::<u8>(), 0..20),
                ),
                0..9,
            ),
            cut in 0_usize..200,
        ) {
            let attributes = attributes.iter().flat_map(|(kind, content)| item(*kind, content));
            for bytes in [noise, attributes.take(cut).collect()] {
                let mut gateways = Vec::new();
                let _ = read_part(&bytes, &mut gateways);
                route(&bytes, &mut gateways);
                hops(&bytes, &mut gateways);
                multipath(&bytes, &mut gateways);
                for gateway in gateways {
                    let octets = match gateway {
                        IpAddr::V4(ip) => ip.octets().to_vec(),
                        IpAddr::V6(ip) => ip.octets().to_vec(),
                    };
                    let arrived = bytes.windows(octets.len()).any(|part| part == octets);
                    prop_assert!(arrived, "{gateway}");
                }
            }
        }
    }
}
