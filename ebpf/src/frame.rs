//! Where a frame's source address lies: Ethernet, up to two VLAN tags (802.1Q, 802.1ad), IPv4 or IPv6.

const ETHER: usize = 14;
const VLAN: usize = 4;
const IPV4: usize = 20;
const IPV6: usize = 40;
/// The most that is ever looked at.
pub(crate) const HEADERS: usize = ETHER + 2 * VLAN + IPV6;

const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
const TYPE_8021Q: u16 = 0x8100;
const TYPE_8021AD: u16 = 0x88a8;

/// What a frame is to the filter. `end` is where its IP packet says that it ends, from the start of the frame.
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
    /// ARP and all else.
    NotIp,
    /// Too short to hold the headers that it announces.
    Runt,
}

/// Bytes from `start` to `end`. The verifier wants to see each range compared with `end` before it is read, through
/// the very pointer that is compared.
#[inline(always)]
fn bytes(start: usize, end: usize, at: usize, len: usize) -> Option<*const u8> {
    let from = start + at;
    (from + len <= end).then_some(from as *const u8)
}

/// Frames begin at even addresses, as the headroom before them is, and all that is read here lies at even offsets:
/// by halves of words, since an unaligned read would be one of bytes.
#[inline(always)]
fn be16(from: *const u8, at: usize) -> u16 {
    // SAFETY: in a range that `bytes` compared with the end of the frame; aligned, see above.
    u16::from_be(unsafe { from.add(at).cast::<u16>().read() })
}

#[inline(always)]
fn be32(from: *const u8, at: usize) -> u32 {
    u32::from(be16(from, at)) << 16 | u32::from(be16(from, at + 2))
}

#[inline(always)]
fn be64(from: *const u8, at: usize) -> u64 {
    u64::from(be32(from, at)) << 32 | u64::from(be32(from, at + 4))
}

/// Reads the headers that lie between two addresses.
#[inline(always)]
pub(crate) fn parse(start: usize, end: usize) -> Source {
    let Some(ether) = bytes(start, end, 0, ETHER) else {
        return Source::Runt;
    };
    let outer = be16(ether, 12);
    if outer != TYPE_8021Q && outer != TYPE_8021AD {
        return network(start, end, ETHER, outer);
    }
    let Some(tag) = bytes(start, end, ETHER, VLAN) else {
        return Source::Runt;
    };
    let inner = be16(tag, 2);
    if inner != TYPE_8021Q && inner != TYPE_8021AD {
        return network(start, end, ETHER + VLAN, inner);
    }
    let Some(tag) = bytes(start, end, ETHER + VLAN, VLAN) else {
        return Source::Runt;
    };
    network(start, end, ETHER + 2 * VLAN, be16(tag, 2))
}

/// `at` is the offset of what `kind` announces.
#[inline(always)]
fn network(start: usize, end: usize, at: usize, kind: u16) -> Source {
    if kind == TYPE_IPV4 {
        let Some(ip) = bytes(start, end, at, IPV4) else {
            return Source::Runt;
        };
        return Source::V4 {
            source: be32(ip, 12),
            end: at + be16(ip, 2) as usize,
        };
    }
    if kind == TYPE_IPV6 {
        let Some(ip) = bytes(start, end, at, IPV6) else {
            return Source::Runt;
        };
        let end = at + IPV6 + be16(ip, 4) as usize;
        return Source::V6 {
            hi: be64(ip, 8),
            lo: be64(ip, 16),
            end,
        };
    }
    Source::NotIp
}
