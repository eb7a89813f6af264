//! What the packets of an interface begin with: by its `ifi_type` (`ARPHRD_*` of linux/if_arp.h) and the kind of its device.
//!
//! Generic XDP hands out a packet from its MAC header on. Where a device has no Ethernet header, that is wherever its
//! driver has left the mark: at the IP header, or at the header of the tunnel around it. [`LinkLayer::Ip`] says which,
//! as the drivers' sources do; what they do not say counts as wrong.

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

/// Drivers that put the mark at the IP header on every kernel (`skb_reset_mac_header` in `tun_get_user`,
/// `wg_reset_packet`, `ppp_receive_nonmp_frame`).
const MARKING: [&[u8]; 3] = [b"tun", b"wireguard", b"ppp"];
/// Those that do since Linux 5.14 ("net: reset MAC header consistently across L3 virtual devices"). GRE over IPv4 is not
/// among them: with several peers its mark stays at the outer header (`skb_pop_mac_header` in `__ipgre_rcv`). Nor are
/// IPsec's, where it is the outer frame's (`skb_mac_header_rebuild`), or modems', which differ.
const MARKING_SINCE_5_14: [&[u8]; 5] = [b"ipip", b"sit", b"ip6tnl", b"ip6gre", b"gtp"];

/// What the packets of an interface begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLayer {
    /// An Ethernet header; the loopback's do, too.
    Ethernet,
    /// The IP header.
    Ip {
        /// Whether generic XDP sees them so, too. The traffic control layer does in any case.
        generic: bool,
    },
    /// Something else, with the kernel's number for it.
    Other(u16),
}

impl LinkLayer {
    /// Of an interface of this type, whose device is of this kind (`IFLA_INFO_KIND`), on this kernel.
    pub(crate) fn of(hardware: u16, kind: &[u8], kernel: KernelVersion) -> Self {
        match hardware {
            ETHER | LOOPBACK => Self::Ethernet,
            NONE | PPP | RAWIP | TUNNEL | TUNNEL6 | SIT | IPGRE | IP6GRE => Self::Ip {
                generic: MARKING.contains(&kind)
                    || (kernel >= KernelVersion::new(5, 14) && MARKING_SINCE_5_14.contains(&kind)),
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

/// What the types are called that are met.
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
        801..=803 => "IEEE 802.11 frames, as a monitor has them",
        804 | 805 => "IEEE 802.15.4",
        820 | 821 => "Phonet",
        824 => "netlink messages, as nlmon has them",
        825 => "6LoWPAN",
        826 => "vsock messages, as vsockmon has them",
        _ => return None,
    })
}

/// The kernel's version, as far as `/proc` tells; else the oldest that Couic runs on.
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
    fn types_and_kinds_tell_what_packets_begin_with() {
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
    fn a_type_that_is_refused_is_named() {
        let shown = |number| LinkLayer::Other(number).to_string();
        assert_eq!(shown(280), "CAN (link type 280)");
        assert_eq!(shown(32), "InfiniBand (link type 32)");
        assert_eq!(shown(4711), "link type 4711, unknown to Couic");
    }
}
