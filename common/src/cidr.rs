//! IPv4 and IPv6 prefixes, always stored as network addresses.

mod net;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use self::net::mask4;
pub use self::net::{V4Net, V6Net};

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
mod tests;
