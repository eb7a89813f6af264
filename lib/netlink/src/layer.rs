//! The link layer of an interface, by its `ifi_type` (`ARPHRD_*` of linux/if_arp.h) and the kind of its device.
//!
//! Generic XDP presents a packet from its MAC header on. If a device has no Ethernet header, that is wherever its
//! driver has set the MAC header offset: at the IP header, or at the header of the outer tunnel. [`LinkLayer::Ip`]
//! tells which, according to the sources of the drivers; unknown devices count as unsuitable.

use std::{fmt, fs, sync::LazyLock};

use couic_common::KernelVersion;

const ETHER: u16 = 1;
const PPP: u16 = 512;
const RAWIP: u16 = 519;
const TUNNEL: u16 = 768;
const TUNNEL6: u16 = 769;
const LOOPBACK: u16 = 772;
const SIT: u16 = 776;
const IPGRE: u16 = 778;
const IP6GRE: u16 = 823;
const NONE: u16 = 0xfffe;

/// Drivers that set the offset to the IP header on every kernel (`skb_reset_mac_header` in `tun_get_user`,
/// `wg_reset_packet`, `ppp_receive_nonmp_frame`).
const IP_OFFSET: [&[u8]; 3] = [b"tun", b"wireguard", b"ppp"];
/// Drivers that do so since Linux 5.14 ("net: reset MAC header consistently across L3 virtual devices"). GRE over IPv4
/// is not one of them: with several peers the offset stays at the outer header (`skb_pop_mac_header` in `__ipgre_rcv`).
/// Neither are those of IPsec, which keep the outer frame (`skb_mac_header_rebuild`), and of modems, which vary.
const IP_OFFSET_SINCE_5_14: [&[u8]; 5] = [b"ipip", b"sit", b"ip6tnl", b"ip6gre", b"gtp"];

/// The first header of the packets of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLayer {
    /// An Ethernet header, also on loopback.
    Ethernet,
    /// An IP header.
    Ip {
        /// Whether generic XDP starts there too. The traffic control layer always does.
        generic: bool,
    },
    /// Another header, with the kernel's link type.
    Other(u16),
}

impl LinkLayer {
    /// The link layer by interface type, kind of device (`IFLA_INFO_KIND`) and kernel.
    pub(crate) fn of(hardware: u16, kind: &[u8], kernel: KernelVersion) -> Self {
        match hardware {
            ETHER | LOOPBACK => Self::Ethernet,
            NONE | PPP | RAWIP | TUNNEL | TUNNEL6 | SIT | IPGRE | IP6GRE => Self::Ip {
                generic: IP_OFFSET.contains(&kind)
                    || (kernel >= KernelVersion::new(5, 14)
                        && IP_OFFSET_SINCE_5_14.contains(&kind)),
            },
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for LinkLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ethernet => f.write_str("Ethernet"),
            Self::Ip { .. } => f.write_str("IP without an Ethernet header"),
            Self::Other(number) => match name(number) {
                Some(name) => write!(f, "{name} (link type {number})"),
                None => write!(f, "link type {number}, unknown to Couic"),
            },
        }
    }
}

/// Names of common link types.
const fn name(hardware: u16) -> Option<&'static str> {
    Some(match hardware {
        6 => "Token Ring",
        15 | 770 => "Frame Relay",
        19 => "ATM",
        24 => "IEEE 1394",
        32 => "InfiniBand",
        256..=259 => "SLIP",
        271 | 272 => "X.25",
        280 => "CAN",
        290 => "MCTP",
        513 | 518 => "HDLC",
        774 => "FDDI",
        779 => "a PIM register",
        801..=803 => "IEEE 802.11 frames of a monitor interface",
        804 | 805 => "IEEE 802.15.4",
        820 | 821 => "Phonet",
        824 => "netlink messages of nlmon",
        825 => "6LoWPAN",
        826 => "vsock messages of vsockmon",
        _ => return None,
    })
}

/// The kernel version from `/proc`, or the oldest supported one if it cannot be read.
pub(crate) fn kernel() -> KernelVersion {
    static KERNEL: LazyLock<KernelVersion> = LazyLock::new(|| {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        release.parse().unwrap_or(KernelVersion::OLDEST)
    });
    *KERNEL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_kinds_determine_the_link_layer() {
        let ip = |generic| LinkLayer::Ip { generic };
        let old = KernelVersion::new(5, 10);
        let new = KernelVersion::new(6, 1);
        for (hardware, kind, kernel, expected) in [
            (ETHER, "", old, LinkLayer::Ethernet),
            (ETHER, "tun", old, LinkLayer::Ethernet),
            (LOOPBACK, "", old, LinkLayer::Ethernet),
            (NONE, "tun", old, ip(true)),
            (NONE, "wireguard", old, ip(true)),
            (NONE, "xfrm", new, ip(false)),
            (NONE, "", new, ip(false)),
            (PPP, "ppp", old, ip(true)),
            (PPP, "", new, ip(false)),
            (RAWIP, "rmnet", new, ip(false)),
            (TUNNEL, "ipip", old, ip(false)),
            (TUNNEL, "ipip", new, ip(true)),
            (TUNNEL, "vti", new, ip(false)),
            (TUNNEL6, "ip6tnl", new, ip(true)),
            (SIT, "sit", new, ip(true)),
            (IPGRE, "gre", new, ip(false)),
            (IP6GRE, "ip6gre", new, ip(true)),
            (280, "can", new, LinkLayer::Other(280)),
            (0xffff, "", new, LinkLayer::Other(0xffff)),
        ] {
            let found = LinkLayer::of(hardware, kind.as_bytes(), kernel);
            assert_eq!(found, expected, "{hardware} {kind} {kernel:?}");
        }
    }

    #[test]
    fn unsupported_types_are_named() {
        let shown = |number| LinkLayer::Other(number).to_string();
        assert_eq!(shown(280), "CAN (link type 280)");
        assert_eq!(shown(32), "InfiniBand (link type 32)");
        assert_eq!(shown(4711), "link type 4711, unknown to Couic");
    }
}
