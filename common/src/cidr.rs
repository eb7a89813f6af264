//! IPv4 and IPv6 prefixes, always stored as network addresses.

mod net;
mod networks;
mod range;
mod text;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use self::net::mask4;
pub use self::{
    net::{V4Net, V6Net},
    networks::{Extent, Networks},
    text::CidrError,
};

/// The length of the prefix `::ffff:0:0`, behind which an address is IPv4-mapped.
const MAPPED: u8 = 96;

/// An IPv4 or IPv6 prefix, always a network address: host bits are masked on construction.
///
/// Programs that listen on an IPv6 socket log an IPv4 host as `::ffff:198.51.100.7`. Its packets are IPv4, so such an
/// address is that host, and `::ffff:198.51.100.0/120` that network. `::ffff:0:0/96` itself stays IPv6: lists of bogus
/// IPv6 prefixes name it, and do not mean all of IPv4.
///
/// Ordered by family (IPv4 first), then address, then prefix length: the order of lists in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cidr {
    /// An IPv4 prefix, /0 to /32.
    V4(V4Net),
    /// An IPv6 prefix, /0 to /128, never an IPv4-mapped one beyond /96: those are IPv4.
    V6(V6Net),
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
            IpAddr::V6(a) if len <= 128 => Ok(Self::v6(a, len)),
            IpAddr::V6(_) => Err(CidrError::Prefix { max: 128 }),
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
            IpAddr::V6(a) => Self::v6(a, 128),
        }
    }

    /// `len` is at most 128.
    fn v6(addr: Ipv6Addr, len: u8) -> Self {
        match addr.to_ipv4_mapped() {
            Some(mapped) if len > MAPPED => {
                let len = len - MAPPED;
                let addr = mapped.to_bits() & mask4(len);
                Self::V4(V4Net { addr, len })
            }
            _ => Self::V6(V6Net::masked(addr.to_bits(), len)),
        }
    }

    /// The IPv4-mapped form of an IPv4 prefix, for answers to those who asked in it.
    #[must_use]
    pub fn as_mapped(self) -> Option<String> {
        let Self::V4(net) = self else { return None };
        let addr = Ipv4Addr::from_bits(net.addr).to_ipv6_mapped();
        Some(format!("{addr}/{}", net.len + MAPPED))
    }

    /// A note for messages if `text`, from which this was parsed, had host bits: they were masked.
    #[must_use]
    pub fn masked_from(self, text: &str) -> Option<String> {
        let typed: IpAddr = text.split('/').next()?.parse().ok()?;
        (typed.to_canonical() != self.addr().to_canonical())
            .then(|| format!("{text} is the network {self}"))
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
            IpNetwork::V6(n) => Self::v6(n.ip(), n.prefix()),
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
