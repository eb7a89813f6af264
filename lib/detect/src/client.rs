//! Whose request a line tells of: the peer, or behind trusted proxies the address that the outermost of them saw.
//!
//! `X-Forwarded-For` is written by everybody on the way, the client first. Only what a trusted hop appended is believed,
//! so it is read from the right, and a trusted hop is never the one to ban.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use couic_common::Cidr;
use ipnetwork::IpNetwork;

use crate::format::{LOCAL_PEER, address};

/// A set of networks. IPv4-mapped IPv6 networks are the IPv4 networks that they stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nets {
    /// First and last address, sorted, neither overlapping nor adjacent.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Nets {
    /// Whether `addr` lies in one of the networks; a binary search. An IPv4-mapped address is the IPv4 address.
    #[must_use]
    #[inline]
    pub fn contains(&self, addr: IpAddr) -> bool {
        if self.is_empty() {
            return false;
        }
        match addr.to_canonical() {
            IpAddr::V4(addr) => within(&self.v4, addr.to_bits()),
            IpAddr::V6(addr) => within(&self.v6, addr.to_bits()),
        }
    }

    /// Whether the set and a network have an address in common.
    #[must_use]
    pub fn overlaps(&self, network: IpNetwork) -> bool {
        let other: Self = [network].into_iter().collect();
        let v4 = other.v4.iter().any(|range| meet(&self.v4, *range));
        v4 || other.v6.iter().any(|range| meet(&self.v6, *range))
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

impl FromIterator<IpNetwork> for Nets {
    fn from_iter<I: IntoIterator<Item = IpNetwork>>(networks: I) -> Self {
        let mut nets = Self::default();
        for network in networks {
            // The prefix is that of the address's own family, so it fits.
            let Ok(cidr) = Cidr::new(network.ip(), network.prefix()) else {
                continue;
            };
            match (cidr.addr(), u32::from(cidr.prefix())) {
                (IpAddr::V4(addr), len) => {
                    let host_bits = u32::MAX.checked_shr(len).unwrap_or(0);
                    nets.v4.push((addr.to_bits(), addr.to_bits() | host_bits));
                }
                (IpAddr::V6(addr), len) => {
                    let host_bits = u128::MAX.checked_shr(len).unwrap_or(0);
                    nets.v6.push((addr.to_bits(), addr.to_bits() | host_bits));
                }
            }
        }
        merge(&mut nets.v4, |last| last.checked_add(1));
        merge(&mut nets.v6, |last| last.checked_add(1));
        nets
    }
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], addr: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= addr);
    after > 0 && addr <= ranges[after - 1].1
}

/// Whether a range has a value in common with one of `ranges`: if so, with the last that starts within it or before.
fn meet<T: Ord + Copy>(ranges: &[(T, T)], (first, last): (T, T)) -> bool {
    let after = ranges.partition_point(|(start, _)| *start <= last);
    after > 0 && first <= ranges[after - 1].1
}

fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>, next: impl Fn(T) -> Option<T>) {
    ranges.sort_unstable();
    ranges.dedup_by(|later, kept| {
        let joined = next(kept.1).is_none_or(|next| later.0 <= next);
        if joined {
            kept.1 = kept.1.max(later.1);
        }
        joined
    });
    ranges.shrink_to_fit();
}

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    nets: Nets,
    unix: bool,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The address that the peer or the outermost trusted proxy saw.
    Known(IpAddr),
    /// Only trusted hops are known: never to be banned. The address is the farthest hop that is believed, or the peer if
    /// the header is missing or malformed.
    Proxy(IpAddr),
}

impl Trusted {
    /// Proxies in `nets`.
    #[must_use]
    pub const fn new(nets: Nets) -> Self {
        Self { nets, unix: false }
    }

    /// Trusts proxies that connect through a Unix socket as well; see [`Format::accept_unix`](crate::Format::accept_unix).
    #[must_use]
    pub const fn with_unix(mut self) -> Self {
        self.unix = true;
        self
    }

    /// The client of a request from `peer` with the value `forwarded` of `X-Forwarded-For`.
    ///
    /// A peer that is not trusted is the client, whatever the header says. Otherwise the header is walked from the right
    /// while hops are trusted. Anything but an address (with or without port, brackets, zone) ends the walk at the
    /// peer: a malformed header says nothing.
    #[must_use]
    #[inline]
    pub fn client(&self, peer: IpAddr, forwarded: &[u8]) -> Client {
        let peer = peer.to_canonical();
        if self.nets.is_empty() && !self.unix {
            return Client::Known(peer);
        }
        self.behind(peer, forwarded)
    }

    fn behind(&self, peer: IpAddr, forwarded: &[u8]) -> Client {
        let local = self.unix && peer == LOCAL_PEER;
        if !local && !self.nets.contains(peer) {
            return Client::Known(peer);
        }
        let mut believed = peer;
        for hop in forwarded.rsplit(|byte| *byte == b',') {
            match address(hop.trim_ascii()) {
                None => return Client::Proxy(peer),
                Some(hop) if self.nets.contains(hop) => believed = hop,
                Some(hop) if is_host(hop) => return Client::Known(hop),
                Some(_) => return Client::Proxy(peer),
            }
        }
        Client::Proxy(believed)
    }
}

/// Whether a packet can come from this address at all.
fn is_host(addr: IpAddr) -> bool {
    !addr.is_unspecified()
        && !addr.is_multicast()
        && addr != IpAddr::V4(Ipv4Addr::BROADCAST)
        && addr != IpAddr::V6(Ipv6Addr::LOCALHOST)
        && !matches!(addr, IpAddr::V4(v4) if v4.is_loopback())
}

#[cfg(test)]
mod tests;
