//! Builds Ethernet frames byte by byte.

use std::net::IpAddr;

/// EtherType of an 802.1Q tag.
pub const ETH_P_8021Q: u16 = 0x8100;
/// EtherType of an 802.1ad tag (QinQ's outer one).
pub const ETH_P_8021AD: u16 = 0x88a8;
/// EtherType of stacked tags before 802.1ad.
pub const ETH_P_QINQ1: u16 = 0x9100;
const ETH_P_MPLS: u16 = 0x8847;
const ETH_P_PPPOE: u16 = 0x8864;
/// "Local experimental" (IEEE 802): no rule applies to it, so it always passes.
const ETH_P_EXPERIMENTAL: u16 = 0x88b5;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
/// Identifies test frames behind the filter.
const MAGIC: [u8; 8] = *b"couic-e2";
const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// Bytes of the frames with which [`crate::Wire`] paces itself: they count as passed.
pub const SYNC_FRAME_LEN: u64 = 30;

/// A frame to send. Its payload gets a label when it is sent, so that it is recognized on arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    tags: Vec<u16>,
    carrier: Carrier,
    kind: Kind,
    padding: usize,
}

/// The encapsulation of the IP packet, inside of all VLAN tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Ethernet,
    /// A PPPoE session (RFC 2516).
    Pppoe,
    /// A number of MPLS labels (RFC 3032).
    Mpls(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Udp(IpAddr),
    Raw(Vec<u8>),
}

impl Frame {
    /// A UDP packet over IPv4 from `source`.
    ///
    /// # Panics
    /// If it is not an IPv4 address.
    #[must_use]
    pub fn v4(source: &str) -> Self {
        let source: IpAddr = source.parse().expect("an address");
        assert!(source.is_ipv4());
        Self::udp(source)
    }

    /// A UDP packet over IPv6 from `source`.
    ///
    /// # Panics
    /// If it is not an IPv6 address.
    #[must_use]
    pub fn v6(source: &str) -> Self {
        let source: IpAddr = source.parse().expect("an address");
        assert!(source.is_ipv6());
        Self::udp(source)
    }

    /// A UDP packet from `source`.
    #[must_use]
    pub const fn udp(source: IpAddr) -> Self {
        Self {
            tags: Vec::new(),
            carrier: Carrier::Ethernet,
            kind: Kind::Udp(source),
            padding: 0,
        }
    }

    /// EtherType and payload as given, without a label: for runts. Its arrival is not detected.
    #[must_use]
    pub fn raw(ethertype: u16, payload: &[u8]) -> Self {
        let mut bytes = ethertype.to_be_bytes().to_vec();
        bytes.extend_from_slice(payload);
        Self {
            tags: Vec::new(),
            carrier: Carrier::Ethernet,
            kind: Kind::Raw(bytes),
            padding: 0,
        }
    }

    /// Adds an inner VLAN tag.
    #[must_use]
    pub fn vlan(mut self, tpid: u16, id: u16) -> Self {
        self.tags.extend([tpid, id]);
        self
    }

    /// Puts the packet into a PPPoE session, inside of the VLAN tags.
    #[must_use]
    pub const fn pppoe(mut self) -> Self {
        self.carrier = Carrier::Pppoe;
        self
    }

    /// Puts the packet behind MPLS labels, inside of the VLAN tags.
    #[must_use]
    pub const fn mpls(mut self, labels: usize) -> Self {
        self.carrier = Carrier::Mpls(labels);
        self
    }

    /// Adds bytes to the payload.
    #[must_use]
    pub const fn padded(mut self, bytes: usize) -> Self {
        self.padding += bytes;
        self
    }

    /// The length of the frame, with the Ethernet header, without the checksum.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes(0, 0).len() as u64
    }

    /// Never: a frame has its header.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The frame with its label.
    pub(crate) fn bytes(&self, round: u32, index: u32) -> Vec<u8> {
        let mut frame = MACS.to_vec();
        for word in &self.tags {
            frame.extend(word.to_be_bytes());
        }
        match &self.kind {
            Kind::Raw(bytes) => frame.extend_from_slice(bytes),
            Kind::Udp(source) => {
                let mut payload = label(round, index).to_vec();
                payload.resize(payload.len() + self.padding, 0);
                frame.extend(self.carrier.around(&ip_packet(*source, &payload)));
            }
        }
        frame
    }
}

impl Carrier {
    /// Encapsulates a packet. Both `packet` and the result start with an EtherType.
    fn around(self, packet: &[u8]) -> Vec<u8> {
        let (kind, packet) = packet.split_at(2);
        let mut carried = Vec::new();
        match self {
            Self::Ethernet => carried.extend_from_slice(kind),
            Self::Pppoe => {
                let protocol: u16 = if kind == ETH_P_IP.to_be_bytes() {
                    0x21
                } else {
                    0x57
                };
                let length = u16::try_from(2 + packet.len()).expect("fits a packet");
                carried.extend(ETH_P_PPPOE.to_be_bytes());
                carried.extend([0x11, 0, 0, 7]);
                carried.extend(length.to_be_bytes());
                carried.extend(protocol.to_be_bytes());
            }
            Self::Mpls(labels) => {
                carried.extend(ETH_P_MPLS.to_be_bytes());
                for left in (0..labels).rev() {
                    // A label, the bottom-of-stack bit, a TTL.
                    carried.extend([0, 1, 0x60 | u8::from(left == 0), 64]);
                }
            }
        }
        carried.extend_from_slice(packet);
        carried
    }
}

/// A frame to which no rule applies.
pub(crate) fn sync_frame(round: u32, index: u32) -> Vec<u8> {
    let mut frame = MACS.to_vec();
    frame.extend(ETH_P_EXPERIMENTAL.to_be_bytes());
    frame.extend(label(round, index));
    frame
}

fn label(round: u32, index: u32) -> [u8; 16] {
    let mut label = [0; 16];
    label[..8].copy_from_slice(&MAGIC);
    label[8..12].copy_from_slice(&round.to_be_bytes());
    label[12..].copy_from_slice(&index.to_be_bytes());
    label
}

/// The label of a received frame, at any offset.
pub(crate) fn find_label(frame: &[u8]) -> Option<(u32, u32)> {
    let at = frame.windows(8).position(|w| w == MAGIC)? + 8;
    let word = |from: usize| {
        frame
            .get(from..from + 4)?
            .try_into()
            .ok()
            .map(u32::from_be_bytes)
    };
    Some((word(at)?, word(at + 4)?))
}

/// EtherType, IP header, UDP header, payload. No host has the destination address: the packet is dropped after it was
/// counted.
fn ip_packet(source: IpAddr, payload: &[u8]) -> Vec<u8> {
    let udp_len = u16::try_from(8 + payload.len()).expect("fits a packet");
    let mut packet = Vec::new();
    match source {
        IpAddr::V4(source) => {
            packet.extend(ETH_P_IP.to_be_bytes());
            let mut header = [0; 20];
            header[0] = 0x45;
            header[2..4].copy_from_slice(&(20 + udp_len).to_be_bytes());
            (header[8], header[9]) = (64, 17);
            header[12..16].copy_from_slice(&source.octets());
            header[16..20].copy_from_slice(&[203, 0, 113, 1]);
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            packet.extend(header);
        }
        IpAddr::V6(source) => {
            packet.extend(ETH_P_IPV6.to_be_bytes());
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(udp_len.to_be_bytes());
            packet.extend([17, 64]);
            packet.extend(source.octets());
            packet.extend([0x20, 1, 0xd, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        }
    }
    // Ports 9 (discard); no UDP checksum.
    packet.extend([0, 9, 0, 9]);
    packet.extend(udp_len.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend_from_slice(payload);
    packet
}

/// RFC 1071, of an even number of bytes.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks_exact(2)
        .map(|w| u16::from_be_bytes([w[0], w[1]]));
    let mut sum: u32 = words.map(u32::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests;
