//! Finds the source address of a frame, with or without an Ethernet header, behind VLAN tags (802.1Q, 802.1ad, 0x9100),
//! PPPoE session headers and MPLS labels.
//!
//! What holds:
//! - Every encapsulation that a Linux host decapsulates itself is parsed. A frame without an IP packet, or with an
//!   unknown encapsulation, is [`Source::Skipped`] with its kind, so that it is counted.
//! - All programs share one parser; [`Packet`] abstracts the access to the bytes.

use couic_ebpf::layout::Skipped;

const ETHER: usize = 14;
/// Offset of the EtherType in an Ethernet header.
const TYPE_AT: usize = 12;
const VLAN: usize = 4;
const LABEL: usize = 4;
const PPPOE: usize = 8;
const IPV4: usize = 20;
const IPV6: usize = 40;
/// Maximum number of VLAN tags parsed. A host strips any number of them, so frames with more are dropped.
pub(crate) const MAX_TAGS: usize = 4;

/// EtherTypes (IEEE 802, IANA).
const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
const TYPE_ARP: u16 = 0x0806;
const TYPE_8021Q: u16 = 0x8100;
const TYPE_8021AD: u16 = 0x88a8;
/// Used for stacked tags before 802.1ad.
const TYPE_QINQ: u16 = 0x9100;
const TYPE_MPLS: u16 = 0x8847;
const TYPE_MPLS_MULTICAST: u16 = 0x8848;
const TYPE_PPPOE_DISCOVERY: u16 = 0x8863;
const TYPE_PPPOE: u16 = 0x8864;
const TYPE_MACSEC: u16 = 0x88e5;
/// Smaller values are lengths of 802.3 frames.
const FIRST_TYPE: u16 = 0x0600;

/// Protocols of PPP (RFC 1332, RFC 5072).
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
/// The last label of an MPLS stack (RFC 3032).
const BOTTOM: u32 = 1 << 8;

/// The result of parsing a frame. `end` is the end of the IP packet according to its header, relative to the start of
/// the data.
pub(crate) enum Source {
    V4 {
        source: u32,
        end: usize,
    },
    V6 {
        hi: u64,
        lo: u64,
        end: usize,
    },
    /// No IP packet, or one behind an unknown encapsulation.
    Skipped(Skipped),
    /// Too short for the headers that it announces.
    Runt,
}

/// Access to the bytes of a frame.
pub(crate) trait Packet {
    /// Two bytes at offset `at`; None beyond the end of the frame.
    fn half(&self, at: usize) -> Option<u16>;
    /// Four bytes at offset `at`; None beyond the end of the frame.
    fn word(&self, at: usize) -> Option<u32>;
    /// Total length and source address of an IPv4 header.
    #[inline(always)]
    fn ipv4(&self, at: usize) -> Option<(u16, u32)> {
        self.half(at + IPV4 - 2)?;
        Some((self.half(at + 2)?, self.word(at + 12)?))
    }
    /// Payload length and source address of an IPv6 header.
    #[inline(always)]
    fn ipv6(&self, at: usize) -> Option<(u16, u64, u64)> {
        self.half(at + IPV6 - 2)?;
        let double = |at| Some(u64::from(self.word(at)?) << 32 | u64::from(self.word(at + 4)?));
        Some((self.half(at + 4)?, double(at + 8)?, double(at + 16)?))
    }
}

#[inline(always)]
fn is_vlan(kind: u16) -> bool {
    matches!(kind, TYPE_8021Q | TYPE_8021AD | TYPE_QINQ)
}

#[inline(always)]
fn is_carrier(kind: u16) -> bool {
    matches!(kind, TYPE_PPPOE | TYPE_MPLS | TYPE_MPLS_MULTICAST)
}

/// The EtherType of the IP packet that begins with these two bytes; 0 if it is neither IPv4 nor IPv6.
#[inline(always)]
fn ip_type(first: u16) -> u16 {
    match first >> 12 {
        4 => TYPE_IPV4,
        6 => TYPE_IPV6,
        _ => 0,
    }
}

/// Parses the header at `at` if `kind` is IPv4 or IPv6.
#[inline(always)]
fn network(packet: &impl Packet, at: usize, kind: u16) -> Option<Source> {
    if kind == TYPE_IPV4 {
        let Some((length, source)) = packet.ipv4(at) else {
            return Some(Source::Runt);
        };
        let end = at + length as usize;
        return Some(Source::V4 { source, end });
    }
    if kind == TYPE_IPV6 {
        let Some((length, hi, lo)) = packet.ipv6(at) else {
            return Some(Source::Runt);
        };
        let end = at + IPV6 + length as usize;
        return Some(Source::V6 { hi, lo, end });
    }
    None
}

/// Parses a frame with an Ethernet header, at most two VLAN tags and no other header before the IP packet; None if
/// [`ethernet`] is needed. The fast path for nearly all frames, with constant offsets.
#[inline(always)]
pub(crate) fn plain(packet: &impl Packet) -> Option<Source> {
    let Some(mut kind) = packet.half(TYPE_AT) else {
        return Some(Source::Runt);
    };
    let mut at = ETHER;
    for _ in 0..2 {
        let found = network(packet, at, kind);
        if found.is_some() {
            return found;
        }
        if !is_vlan(kind) {
            break;
        }
        let Some(inner) = packet.half(at + 2) else {
            return Some(Source::Runt);
        };
        kind = inner;
        at += VLAN;
    }
    if is_vlan(kind) || is_carrier(kind) {
        return None;
    }
    Some(network(packet, at, kind).unwrap_or(Source::Skipped(skipped(kind))))
}

/// Parses any frame with an Ethernet header.
#[inline(always)]
pub(crate) fn ethernet(packet: &impl Packet) -> Source {
    match packet.half(TYPE_AT) {
        Some(outer) => beneath(packet, ETHER, outer, MAX_TAGS),
        None => Source::Runt,
    }
}

/// Parses a packet without an Ethernet header.
#[inline(always)]
pub(crate) fn bare(packet: &impl Packet) -> Source {
    match packet.half(0) {
        Some(first) => {
            network(packet, 0, ip_type(first)).unwrap_or(Source::Skipped(Skipped::Other))
        }
        None => Source::Runt,
    }
}

/// Parses up to `tags` VLAN tags, then a PPPoE header or up to four MPLS labels, then the IP header.
#[inline(always)]
pub(crate) fn beneath(packet: &impl Packet, mut at: usize, mut kind: u16, tags: usize) -> Source {
    for _ in 0..tags {
        if !is_vlan(kind) {
            break;
        }
        let Some(tag) = packet.word(at) else {
            return Source::Runt;
        };
        kind = tag as u16;
        at += VLAN;
    }
    let inner = match kind {
        TYPE_PPPOE => pppoe(packet, at),
        TYPE_MPLS | TYPE_MPLS_MULTICAST => mpls(packet, at),
        _ => Ok((at, kind)),
    };
    match inner {
        Ok((at, kind)) => network(packet, at, kind).unwrap_or(Source::Skipped(skipped(kind))),
        Err(other) => other,
    }
}

#[inline(always)]
fn skipped(kind: u16) -> Skipped {
    match kind {
        TYPE_ARP => Skipped::Arp,
        TYPE_PPPOE_DISCOVERY => Skipped::Pppoe,
        TYPE_MACSEC => Skipped::Macsec,
        _ if is_vlan(kind) => Skipped::Vlan,
        _ if kind < FIRST_TYPE => Skipped::Llc,
        _ => Skipped::Other,
    }
}

/// Offset and type of the payload of a PPPoE session frame (RFC 2516). Like Linux, ignores version and code.
#[inline(always)]
fn pppoe(packet: &impl Packet, at: usize) -> Result<(usize, u16), Source> {
    match packet.half(at + PPPOE - 2) {
        Some(PPP_IPV4) => Ok((at + PPPOE, TYPE_IPV4)),
        Some(PPP_IPV6) => Ok((at + PPPOE, TYPE_IPV6)),
        None => Err(Source::Runt),
        _ => Err(Source::Skipped(Skipped::Pppoe)),
    }
}

/// Offset and type of the payload of an MPLS frame. The type is guessed from the first bits, as labels do not contain
/// it.
#[inline(always)]
fn mpls(packet: &impl Packet, mut at: usize) -> Result<(usize, u16), Source> {
    for _ in 0..4 {
        let Some(label) = packet.word(at) else {
            return Err(Source::Runt);
        };
        at += LABEL;
        if label & BOTTOM != 0 {
            let Some(first) = packet.half(at) else {
                return Err(Source::Runt);
            };
            return match ip_type(first) {
                0 => Err(Source::Skipped(Skipped::Mpls)),
                kind => Ok((at, kind)),
            };
        }
    }
    Err(Source::Skipped(Skipped::Mpls))
}
