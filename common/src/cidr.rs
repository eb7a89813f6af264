//! IPv4 and IPv6 prefixes, always stored as network addresses.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An IPv4 prefix. `addr` is in host order, and its bits beyond `len` are zero. The default is 0.0.0.0/0, which sorts
/// first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V4Net {
    addr: u32,
    len: u8,
}

/// An IPv6 prefix. Its bits beyond `len` are zero.
///
/// The address is stored in two halves, in host order: a `u128` would be aligned to 16 bytes and make a [`Cidr`] 48
/// bytes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V6Net {
    high: u64,
    low: u64,
    len: u8,
}

/// An IPv4 or IPv6 prefix, always a network address: host bits are masked on construction.
///
/// Ordered by family (IPv4 first), then address, then prefix length: the order of lists in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cidr {
    /// An IPv4 prefix, /0 to /32.
    V4(V4Net),
    /// An IPv6 prefix, /0 to /128. IPv4-mapped prefixes stay IPv6.
    V6(V6Net),
}

/// The reason why a text is not a CIDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// There is no `/prefix`.
    #[error("a CIDR needs its prefix length, as in 192.0.2.0/24")]
    NoPrefix,
    /// The part before the slash is not an IPv4 or IPv6 address.
    #[error("not an IPv4 or IPv6 address")]
    Address,
    /// The part after the slash is not a number, or too large for the address family.
    #[error("the prefix length must be a number from 0 to {max}")]
    Prefix {
        /// The largest prefix length of the family.
        max: u8,
    },
}

impl V4Net {
    /// Masks the host bits. None if `len` is over 32.
    #[must_use]
    pub fn new(addr: u32, len: u8) -> Option<Self> {
        (len <= 32).then(|| Self {
            addr: addr & mask4(len),
            len,
        })
    }

    /// The network address in host order.
    #[must_use]
    pub const fn addr(self) -> u32 {
        self.addr
    }

    /// The prefix length, 0 to 32.
    #[must_use]
    pub const fn len(self) -> u8 {
        self.len
    }

    /// Whether the prefix is /0, which covers every address.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Whether `addr` (host order) lies in the prefix.
    #[must_use]
    pub fn contains(self, addr: u32) -> bool {
        addr & mask4(self.len) == self.addr
    }
}

impl V6Net {
    /// Masks the host bits. None if `len` is over 128.
    #[must_use]
    pub fn new(addr: u128, len: u8) -> Option<Self> {
        (len <= 128).then(|| Self::masked(addr, len))
    }

    /// `len` is at most 128.
    fn masked(addr: u128, len: u8) -> Self {
        let addr = addr & mask6(len);
        #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
        let (high, low) = ((addr >> 64) as u64, addr as u64);
        Self { high, low, len }
    }

    /// The network address in host order.
    #[must_use]
    pub const fn addr(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// The prefix length, 0 to 128.
    #[must_use]
    pub const fn len(self) -> u8 {
        self.len
    }

    /// Whether the prefix is /0, which covers every address.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Whether `addr` (host order) lies in the prefix.
    #[must_use]
    pub fn contains(self, addr: u128) -> bool {
        addr & mask6(self.len) == self.addr()
    }
}

fn mask4(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
}

fn mask6(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

impl Cidr {
    /// The prefix of length `len` around `addr`; host bits are masked.
    ///
    /// # Errors
    /// [`CidrError::Prefix`] if `len` is over 32 (IPv4) or 128 (IPv6).
    pub fn new(addr: IpAddr, len: u8) -> Result<Self, CidrError> {
        match addr {
            IpAddr::V4(a) => V4Net::new(a.to_bits(), len)
                .map(Self::V4)
                .ok_or(CidrError::Prefix { max: 32 }),
            IpAddr::V6(a) => V6Net::new(a.to_bits(), len)
                .map(Self::V6)
                .ok_or(CidrError::Prefix { max: 128 }),
        }
    }

    /// The /32 or /128 of one address.
    #[must_use]
    pub fn host(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(a) => Self::V4(V4Net {
                addr: a.to_bits(),
                len: 32,
            }),
            IpAddr::V6(a) => Self::V6(V6Net::masked(a.to_bits(), 128)),
        }
    }

    /// Parses a CIDR, or a bare address as /32 or /128: for input typed by users.
    ///
    /// # Errors
    /// As [`Cidr::from_str`], except for the missing prefix.
    pub fn parse_lenient(text: &str) -> Result<Self, CidrError> {
        match text.parse() {
            Err(CidrError::NoPrefix) => {
                text.parse().map(Self::host).map_err(|_| CidrError::Address)
            }
            other => other,
        }
    }

    /// A note for messages if `text`, from which this was parsed, had host bits: they were masked.
    #[must_use]
    pub fn masked_from(self, text: &str) -> Option<String> {
        let typed: IpAddr = text.split('/').next()?.parse().ok()?;
        (typed != self.addr()).then(|| format!("{text} is the network {self}"))
    }

    /// The network address.
    #[must_use]
    pub fn addr(self) -> IpAddr {
        match self {
            Self::V4(n) => Ipv4Addr::from_bits(n.addr).into(),
            Self::V6(n) => Ipv6Addr::from_bits(n.addr()).into(),
        }
    }

    /// The prefix length: 0 to 32, or 0 to 128.
    #[must_use]
    pub const fn prefix(self) -> u8 {
        match self {
            Self::V4(n) => n.len,
            Self::V6(n) => n.len,
        }
    }

    /// Whether this is an IPv4 prefix.
    #[must_use]
    pub const fn is_ipv4(self) -> bool {
        matches!(self, Self::V4(_))
    }

    /// Whether `addr` lies in the prefix. An IPv4 address never lies in an IPv6 prefix, mapped or not: the address
    /// family of the frame counts.
    #[must_use]
    pub fn contains(self, addr: IpAddr) -> bool {
        match (self, addr) {
            (Self::V4(n), IpAddr::V4(a)) => n.contains(a.to_bits()),
            (Self::V6(n), IpAddr::V6(a)) => n.contains(a.to_bits()),
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Parses `ADDRESS/PREFIX`. Stricter than most parsers: no blanks, no sign or leading zero in the prefix, no
    /// netmask, no zone.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (addr, len) = text.split_once('/').ok_or(CidrError::NoPrefix)?;
        let addr: IpAddr = addr.parse().map_err(|_| CidrError::Address)?;
        let max = if addr.is_ipv4() { 32 } else { 128 };
        let digits = matches!(
            len.as_bytes(),
            [b'0'..=b'9'] | [b'1'..=b'9', b'0'..=b'9', ..]
        );
        let len = digits
            .then(|| len.parse().ok())
            .flatten()
            .ok_or(CidrError::Prefix { max })?;
        Self::new(addr, len)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr(), self.prefix())
    }
}

/// Lists and reports hold IPv4 networks by the hundred thousand: these are formatted without the overhead of `fmt`.
impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self::V4(net) = self else {
            return serializer.collect_str(self);
        };
        // 255.255.255.255/32
        let mut text = [0; 18];
        let mut len = 0;
        for octet in net.addr.to_be_bytes() {
            len = push_number(&mut text, len, octet);
            text[len] = b'.';
            len += 1;
        }
        text[len - 1] = b'/';
        len = push_number(&mut text, len, net.len);
        match std::str::from_utf8(&text[..len]) {
            Ok(text) => serializer.serialize_str(text),
            // Digits, dots and a slash are UTF-8.
            Err(_) => serializer.collect_str(self),
        }
    }
}

/// Writes a number in decimal and returns the offset of its end.
fn push_number(text: &mut [u8], mut at: usize, number: u8) -> usize {
    for (least, unit) in [(100, 100), (10, 10), (0, 1)] {
        if number >= least {
            text[at] = b'0' + number / unit % 10;
            at += 1;
        }
    }
    at
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Cidr {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        <String as utoipa::PartialSchema>::schema()
    }
}
#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Cidr {}

impl From<IpNetwork> for Cidr {
    fn from(net: IpNetwork) -> Self {
        match net {
            IpNetwork::V4(n) => Self::V4(V4Net {
                addr: n.ip().to_bits() & mask4(n.prefix()),
                len: n.prefix(),
            }),
            IpNetwork::V6(n) => Self::V6(V6Net::masked(n.ip().to_bits(), n.prefix())),
        }
    }
}

impl From<Cidr> for IpNetwork {
    fn from(cidr: Cidr) -> Self {
        // A Cidr's length always fits its family, so the fallback is never taken.
        Self::new(cidr.addr(), cidr.prefix()).unwrap_or_else(|_| Self::from(cidr.addr()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn is_small() {
        assert_eq!(size_of::<Cidr>(), 32);
    }

    #[test]
    fn accepts_and_masks() {
        for (text, shown) in [
            ("192.168.1.100/24", "192.168.1.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("255.255.255.255/32", "255.255.255.255/32"),
            ("2001:DB8:0:0::1/32", "2001:db8::/32"),
            ("::ffff:1.2.3.4/128", "::ffff:1.2.3.4/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn masked_host_bits_are_named() {
        let note = |text: &str| Cidr::parse_lenient(text).unwrap().masked_from(text);
        let named = "10.0.0.0/4 is the network 0.0.0.0/4";
        assert_eq!(note("10.0.0.0/4").as_deref(), Some(named));
        for plain in ["10.0.0.0/8", "10.0.0.1", "2001:DB8:0::/32"] {
            assert_eq!(note(plain), None, "{plain}");
        }
    }

    #[test]
    fn refuses() {
        for (text, error) in [
            ("1.2.3.4", CidrError::NoPrefix),
            ("", CidrError::NoPrefix),
            ("1.2.3.4/33", CidrError::Prefix { max: 32 }),
            ("1.2.3.4/", CidrError::Prefix { max: 32 }),
            ("1.2.3.4/+8", CidrError::Prefix { max: 32 }),
            ("1.2.3.4/08", CidrError::Prefix { max: 32 }),
            ("1.2.3.4//8", CidrError::Prefix { max: 32 }),
            ("1.2.3.4/8/8", CidrError::Prefix { max: 32 }),
            ("1.2.3.4/255.0.0.0", CidrError::Prefix { max: 32 }),
            ("1.2.3.4/ 8", CidrError::Prefix { max: 32 }),
            ("1.2.3.4/99999999999", CidrError::Prefix { max: 32 }),
            ("::1/129", CidrError::Prefix { max: 128 }),
            (" 1.2.3.4/8", CidrError::Address),
            ("1.2.3/8", CidrError::Address),
            ("1.2.3.04/8", CidrError::Address),
            ("fe80::1%eth0/64", CidrError::Address),
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(error), "{text}");
        }
    }

    #[test]
    fn lenient_takes_bare_addresses() {
        assert_eq!(
            Cidr::parse_lenient("1.2.3.4").unwrap().to_string(),
            "1.2.3.4/32"
        );
        assert_eq!(Cidr::parse_lenient("::1").unwrap().to_string(), "::1/128");
        assert_eq!(
            Cidr::parse_lenient("1.2.3.4/40"),
            Err(CidrError::Prefix { max: 32 })
        );
        assert_eq!(Cidr::parse_lenient("example.org"), Err(CidrError::Address));
    }

    proptest! {
        #[test]
        fn text_and_ipnetwork_round_trip(addr: IpAddr, len in 0u8..=128) {
            if let Ok(cidr) = Cidr::new(addr, len) {
                prop_assert_eq!(cidr.to_string().parse::<Cidr>(), Ok(cidr));
                let json = format!("\"{cidr}\"");
                prop_assert_eq!(serde_json::to_string(&cidr).unwrap(), json);
                prop_assert_eq!(Cidr::from(IpNetwork::from(cidr)), cidr);
                prop_assert_eq!(IpNetwork::new(addr, len).unwrap().network(), cidr.addr());
                prop_assert!(cidr.contains(addr));
            } else {
                prop_assert!(addr.is_ipv4() && len > 32);
            }
        }

        #[test]
        fn text_is_refused_or_printed_as_the_same_network(
            text in prop_oneof!["\\PC{0,40}", "[0-9a-f.:]{0,20}/?[0-9]{0,3}", "[0-9]{1,2}(\\.[0-9]{1,2}){3}/[0-9]{1,2}"],
        ) {
            match text.parse::<Cidr>() {
                Ok(cidr) => prop_assert_eq!(cidr.to_string().parse(), Ok(cidr)),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
