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
    pub fn contains(&self, addr: IpAddr) -> bool {
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
    pub fn client(&self, peer: IpAddr, forwarded: &[u8]) -> Client {
        let peer = peer.to_canonical();
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets(list: &[&str]) -> Nets {
        list.iter().map(|net| net.parse().unwrap()).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[track_caller]
    fn client(peer: &str, forwarded: &str) -> Client {
        let trusted = Trusted::new(nets(&["10.0.0.0/8", "2001:db8:c::/48"]));
        trusted.client(ip(peer), forwarded.as_bytes())
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_the_header_says() {
        for header in ["", "6.6.6.6", "10.0.0.1", "6.6.6.6, 10.0.0.1", "junk"] {
            assert_eq!(client("192.0.2.1", header), Client::Known(ip("192.0.2.1")));
        }
    }

    #[test]
    fn the_header_is_read_from_the_right() {
        let known = |text| Client::Known(ip(text));
        assert_eq!(client("10.0.0.1", "192.0.2.1"), known("192.0.2.1"));
        assert_eq!(client("10.0.0.1", "6.6.6.6, 192.0.2.1"), known("192.0.2.1"));
        assert_eq!(
            client("10.0.0.1", "6.6.6.6,192.0.2.1,10.9.9.9 , 10.0.0.2"),
            known("192.0.2.1")
        );
        assert_eq!(
            client("::ffff:10.0.0.1", "junk, \x00, 192.0.2.1:4711"),
            known("192.0.2.1")
        );
        assert_eq!(
            client("2001:db8:c::1", "6.6.6.6, [2001:db8::9%eth0]:443"),
            known("2001:db8::9")
        );
        assert_eq!(client("10.0.0.1", "::ffff:192.0.2.7"), known("192.0.2.7"));
    }

    #[test]
    fn without_a_believable_client_nobody_is_to_be_banned() {
        let proxy = |text| Client::Proxy(ip(text));
        assert_eq!(client("10.0.0.1", ""), proxy("10.0.0.1"));
        assert_eq!(client("10.0.0.1", "-"), proxy("10.0.0.1"));
        assert_eq!(client("10.0.0.1", "10.0.0.7, 10.0.0.2"), proxy("10.0.0.7"));
        for header in [
            "6.6.6.6, unknown",
            "6.6.6.6,",
            "6.6.6.6, 10.0.0.2, _hidden, 10.0.0.3",
            "6.6.6.6 10.0.0.3",
            "6.6.6.6, 0.0.0.0",
            "6.6.6.6, ::1",
            "6.6.6.6, 127.0.0.1",
            "6.6.6.6, 300.1.1.1",
            "6.6.6.6, 010.0.0.1",
            "6.6.6.6, \"192.0.2.1\"",
        ] {
            assert_eq!(client("10.0.0.1", header), proxy("10.0.0.1"), "{header}");
        }
    }

    #[test]
    fn unix_peers_are_trusted_only_on_request() {
        let trusted = Trusted::new(Nets::default());
        assert_eq!(
            trusted.client(LOCAL_PEER, b"192.0.2.1"),
            Client::Known(LOCAL_PEER)
        );
        let trusted = trusted.with_unix();
        assert_eq!(
            trusted.client(LOCAL_PEER, b"192.0.2.1"),
            Client::Known(ip("192.0.2.1"))
        );
        assert_eq!(trusted.client(LOCAL_PEER, b""), Client::Proxy(LOCAL_PEER));
        assert_eq!(
            trusted.client(ip("192.0.2.9"), b"6.6.6.6"),
            Client::Known(ip("192.0.2.9"))
        );
    }

    #[test]
    fn all_of_a_family_and_nothing_are_sets_too() {
        let all = nets(&["0.0.0.0/0"]);
        assert!(all.contains(ip("255.255.255.255")) && all.contains(ip("::ffff:0.0.0.0")));
        assert!(!all.contains(ip("2001:db8::1")) && !all.is_empty());
        assert!(nets(&["::/0"]).contains(ip("ffff::1")));
        assert!(Nets::default().is_empty() && !Nets::default().contains(ip("1.2.3.4")));
        assert!(nets(&["::ffff:192.0.2.0/120"]).contains(ip("192.0.2.9")));
    }

    proptest! {
        #[test]
        fn a_set_contains_what_one_of_its_networks_contains(
            networks in prop::collection::vec((any::<u32>(), 0_u8..=32, any::<bool>()), 0..24),
            probes in prop::collection::vec(any::<u32>(), 0..24),
        ) {
            // The networks of both families lie close together, so that they overlap and touch.
            let list: Vec<IpNetwork> = networks.iter().map(|&(addr, len, v6)| {
                let addr = addr & 0xc003_0003;
                if v6 {
                    IpNetwork::new(Ipv6Addr::from_bits(u128::from(addr) << 96).into(), len).unwrap()
                } else {
                    IpNetwork::new(Ipv4Addr::from_bits(addr).into(), len).unwrap()
                }
            }).collect();
            let nets: Nets = list.iter().copied().collect();
            let edges = list.iter().flat_map(|net| [net.network(), net.broadcast()]);
            let near = probes.iter().flat_map(|&n| {
                let n = n & 0xc007_0007;
                [Ipv4Addr::from_bits(n).into(), Ipv6Addr::from_bits(u128::from(n) << 96).into()]
            });
            for addr in edges.chain(near) {
                let expected = list.iter().any(|net| net.contains(addr));
                prop_assert_eq!(nets.contains(addr), expected, "{}", addr);
                for len in [24, 30, 32] {
                    let other = IpNetwork::new(addr, len).unwrap();
                    let meets = |net: &IpNetwork| net.contains(other.network()) || other.contains(net.network());
                    prop_assert_eq!(nets.overlaps(other), list.iter().any(meets), "{}", other);
                }
            }
        }

        #[test]
        fn what_a_client_writes_in_front_never_changes_the_client(junk in prop::collection::vec(any::<u8>(), 0..80)) {
            let trusted = Trusted::new(nets(&["10.0.0.0/8"]));
            let mut header = junk;
            header.extend(b", 192.0.2.1, 10.0.0.3");
            prop_assert_eq!(trusted.client(ip("10.0.0.1"), &header), Client::Known(ip("192.0.2.1")));
        }
    }
}
