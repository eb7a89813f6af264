//! What is counted and banned as one: an IPv4 address, or an IPv6 prefix, since a host can have any address of its /64.
//!
//! An address behind NAT64 is one host, and its /64 is all of IPv4: it is a key by itself, and is never widened.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use twox_hash::XxHash3_64;

/// IPv4 addresses are kept in their IPv4-mapped form.
const MAPPED: u128 = 0xffff_0000_0000;
/// The prefix length of the networks to which bans are widened.
const WIDE_V4: u8 = 24;
/// The same for IPv6.
pub(crate) const WIDE_V6: u8 = 48;

/// `64:ff9b::/47`: the least that has `64:ff9b::/96` of RFC 6052 and `64:ff9b:1::/48` of RFC 8215, so that no /48 of
/// others has an address of theirs. The rest of it is not assigned.
const NAT64: (u128, u8) = (0x64_ff9b << 96, 47);

/// An IPv4 address, an IPv6 address behind NAT64, or the network address of an IPv6 prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(u128);

impl Key {
    /// The key of an address. IPv4-mapped addresses are those of IPv4.
    pub(crate) fn of(addr: IpAddr, v6_prefix: u8) -> Self {
        match addr.to_canonical() {
            IpAddr::V4(v4) => Self(MAPPED | u128::from(v4.to_bits())),
            IpAddr::V6(v6) => {
                let whole = Self(v6.to_bits());
                Self(whole.0 & mask(whole.len(v6_prefix)))
            }
        }
    }

    fn v4(self) -> Option<Ipv4Addr> {
        let low = u32::try_from(self.0 ^ MAPPED).ok()?;
        Some(Ipv4Addr::from_bits(low))
    }

    fn is_nat64(self) -> bool {
        self.0 & mask(NAT64.1) == NAT64.0
    }

    /// The prefix length of what the key covers.
    fn len(self, v6_prefix: u8) -> u8 {
        match self.v4() {
            Some(_) => 32,
            None if self.is_nat64() => 128,
            None => v6_prefix,
        }
    }

    /// The address, that of the network for IPv6.
    pub(crate) fn addr(self) -> IpAddr {
        match self.v4() {
            Some(v4) => v4.into(),
            None => Ipv6Addr::from_bits(self.0).into(),
        }
    }

    /// What a ban of the key covers.
    pub(crate) fn network(self, v6_prefix: u8) -> IpNetwork {
        let addr = self.addr();
        IpNetwork::new(addr, self.len(v6_prefix)).unwrap_or(IpNetwork::from(addr))
    }

    /// The key of the /24 or /48 around; behind NAT64 itself.
    pub(crate) fn wide(self) -> Self {
        match self.v4() {
            Some(_) => Self(self.0 & !0xff),
            None if self.is_nat64() => self,
            None => Self(self.0 & mask(WIDE_V6)),
        }
    }

    /// What a ban of that /24 or /48 covers.
    pub(crate) fn wide_network(self) -> IpNetwork {
        let len = if self.v4().is_some() {
            WIDE_V4
        } else {
            self.len(WIDE_V6)
        };
        let addr = self.wide().addr();
        IpNetwork::new(addr, len).unwrap_or(IpNetwork::from(addr))
    }

    /// One of 256 places within the /24 or /48: for IPv4 the last byte, for IPv6 a hash, so that two neighbours may
    /// share one.
    pub(crate) fn place(self, seed: u64) -> u8 {
        match self.v4() {
            Some(v4) => v4.octets()[3],
            None => (self.hash(seed) >> 56) as u8,
        }
    }

    /// Whether bans of the key can be widened: not if the prefix is as wide already, or behind NAT64.
    pub(crate) fn can_widen(self, v6_prefix: u8) -> bool {
        self.v4().is_some() || (v6_prefix > WIDE_V6 && !self.is_nat64())
    }

    /// A hash that nobody without the seed can aim at; never 0.
    #[inline]
    pub(crate) fn hash(self, seed: u64) -> u64 {
        XxHash3_64::oneshot_with_seed(seed, &self.0.to_le_bytes()).max(1)
    }
}

fn mask(len: u8) -> u128 {
    u128::MAX
        .checked_shl(128_u32.saturating_sub(u32::from(len)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::of(text.parse().unwrap(), 64)
    }

    #[test]
    fn a_key_is_an_ipv4_address_or_a_prefix() {
        assert_eq!(key("192.0.2.7").network(64).to_string(), "192.0.2.7/32");
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
        assert_eq!(key("2001:db8:1:2::7"), key("2001:db8:1:2:ffff::1"));
        let net = key("2001:db8:1:2::7").network(64);
        assert_eq!(net.to_string(), "2001:db8:1:2::/64");
        let whole = Key::of("2001:db8::7".parse().unwrap(), 128);
        assert_eq!(whole.network(128).to_string(), "2001:db8::7/128");
        assert_eq!(key("::").addr().to_string(), "::");
    }

    #[test]
    fn wide_networks_are_24_and_48() {
        let wide = |text| key(text).wide_network().to_string();
        assert_eq!(wide("192.0.2.7"), "192.0.2.0/24");
        assert_eq!(wide("2001:db8:1:2::7"), "2001:db8:1::/48");
        assert_eq!(key("192.0.2.7").place(1), 7);
        assert!(key("2001:db8::").can_widen(49) && !key("2001:db8::").can_widen(48));
        assert!(key("192.0.2.7").can_widen(48));
    }

    #[test]
    fn an_address_behind_nat64_is_one_source_and_never_widened() {
        for addr in ["64:ff9b::c000:207", "64:ff9b:1:2:3:4:c000:207"] {
            for prefix in [32, 48, 64, 128] {
                let key = Key::of(addr.parse().unwrap(), prefix);
                assert_eq!(key.network(prefix).to_string(), format!("{addr}/128"));
                assert_eq!(Key::of(key.addr(), prefix), key);
                assert_eq!(key.wide(), key);
                assert_eq!(key.wide_network(), key.network(prefix));
                assert!(!key.can_widen(prefix));
            }
        }
        for addr in ["64:ff9b:2::1", "64:ff9a:ffff::1", "64:ff9c::1"] {
            assert_eq!(key(addr).network(64).prefix(), 64, "{addr}");
            assert!(key(addr).can_widen(64));
        }
    }

    #[test]
    fn hashes_depend_on_the_seed() {
        assert_ne!(key("192.0.2.7").hash(1), key("192.0.2.7").hash(2));
        assert_ne!(key("192.0.2.7").hash(1), key("192.0.2.8").hash(1));
    }
}
