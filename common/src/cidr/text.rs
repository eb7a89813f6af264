//! Texts that stand for networks, and the name of what they are instead.
//!
//! The API's contract takes `ADDRESS/PREFIX` alone ([`Cidr::from_str`]). Lists and users also write bare addresses,
//! netmasks and ranges ([`Cidr::parse_each`]). Whatever is refused is named the same way at every door.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::{Cidr, range};

/// The reason why a text is not a CIDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// There is no `/prefix`.
    #[error("a CIDR needs its prefix length, as in 192.0.2.0/24")]
    NoPrefix,
    /// Not an IPv4 or IPv6 address, nor anything below.
    #[error("not an IPv4 or IPv6 address")]
    Address,
    /// The part after the slash is not a number, or too large for the address family.
    #[error("the prefix length must be a number from 0 to {max}")]
    Prefix {
        /// The largest prefix length of the family.
        max: u8,
    },
    /// A netmask where only a prefix length will do.
    #[error("a netmask: write its prefix length, as in 192.0.2.0/24 for 255.255.255.0")]
    Netmask,
    /// A netmask with a one to the right of a zero.
    #[error("not a netmask: its ones must be on the left, as in 255.255.255.0")]
    BrokenNetmask,
    /// A range where only one network will do.
    #[error("a range: write it as CIDRs, or import it as a list")]
    Range,
    /// The ends of a range are swapped.
    #[error("the range ends before it begins")]
    Backwards,
    /// The ends of a range are of two families.
    #[error("the range begins in one address family and ends in the other")]
    MixedRange,
    /// An octet with a leading zero.
    #[error(
        "a leading zero is ambiguous, since some programs read such a number as octal: write it without"
    )]
    LeadingZero,
    /// `%eth0` and the like.
    #[error("a zone (%interface) is not part of a source address: leave it out")]
    Zone,
    /// `[2001:db8::1]`.
    #[error("an address in brackets: write it without them, and without a port")]
    Brackets,
    /// `192.0.2.4:443`.
    #[error("an address with a port: leave the port out, rules are about addresses")]
    Port,
    /// A host name.
    #[error("a host name: rules are about addresses, so resolve it first")]
    HostName,
    /// A URL.
    #[error(
        "a URL, not an address: fetch a list first, as in curl -fsS URL | couicctl drop import -"
    )]
    Url,
    /// The networks of a list are too many with this entry.
    #[error("with the networks of this range the list has more than {most}: split it")]
    TooMany {
        /// How many there may be.
        most: usize,
    },
    /// Several words.
    #[error("more than one word: one network a line; # or ; begins a comment")]
    Words,
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Parses `ADDRESS/PREFIX`. Stricter than most parsers: no blanks, no sign or leading zero in the prefix, no
    /// netmask, no zone.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let Some((addr, len)) = text.split_once('/') else {
            let bare = text.is_empty() || text.parse::<IpAddr>().is_ok();
            return Err(if bare {
                CidrError::NoPrefix
            } else {
                named(text)
            });
        };
        let Ok(addr) = addr.parse::<IpAddr>() else {
            return Err(named(text));
        };
        let digits = matches!(
            len.as_bytes(),
            [b'0'..=b'9'] | [b'1'..=b'9', b'0'..=b'9', ..]
        );
        match digits.then(|| len.parse().ok()).flatten() {
            Some(len) => Self::new(addr, len),
            None if addr.is_ipv4() && len.parse::<Ipv4Addr>().is_ok() => Err(CidrError::Netmask),
            None if len.contains(char::is_whitespace) => Err(CidrError::Words),
            None => {
                let max = if addr.is_ipv4() { 32 } else { 128 };
                Err(CidrError::Prefix { max })
            }
        }
    }
}

impl Cidr {
    /// Parses an address alone.
    ///
    /// # Errors
    /// [`CidrError`].
    pub fn parse_address(text: &str) -> Result<IpAddr, CidrError> {
        text.parse().map_err(|_| named(text))
    }

    /// Parses one network as users write it: a CIDR, a bare address as /32 or /128, or a netmask.
    ///
    /// # Errors
    /// [`CidrError`]; of a range of several networks, [`CidrError::Range`].
    pub fn parse_lenient(text: &str) -> Result<Self, CidrError> {
        let (mut first, mut count) = (None, 0);
        Self::parse_each(text, |cidr| {
            first.get_or_insert(cidr);
            count += 1;
        })?;
        first.filter(|_| count == 1).ok_or(CidrError::Range)
    }

    /// Parses an entry of a list, and hands out its networks: one, or of a range the fewest that cover exactly it, at
    /// most 62 of IPv4 and 254 of IPv6.
    ///
    /// # Errors
    /// [`CidrError`]; then none was handed out.
    pub fn parse_each(text: &str, mut each: impl FnMut(Self)) -> Result<(), CidrError> {
        let only = match text.parse() {
            Ok(cidr) => Ok(cidr),
            Err(CidrError::NoPrefix) => {
                text.parse().map(Self::host).map_err(|_| CidrError::Address)
            }
            Err(CidrError::Netmask) => with_netmask(text),
            Err(CidrError::Range) => return range::networks(text, each),
            Err(other) => Err(other),
        };
        each(only?);
        Ok(())
    }
}

fn with_netmask(text: &str) -> Result<Cidr, CidrError> {
    let (addr, mask) = text.split_once('/').ok_or(CidrError::Address)?;
    let addr: Ipv4Addr = addr.parse().map_err(|_| CidrError::Address)?;
    let mask = mask.parse::<Ipv4Addr>().map_err(|_| CidrError::Netmask)?;
    let len = mask.to_bits().leading_ones();
    if len + mask.to_bits().trailing_zeros() < 32 {
        return Err(CidrError::BrokenNetmask);
    }
    Cidr::new(addr.into(), u8::try_from(len).unwrap_or(32))
}

/// What a text is that does not begin with an address.
pub(super) fn named(text: &str) -> CidrError {
    let addr = text.split('/').next().unwrap_or_default();
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if text.contains("://") {
        CidrError::Url
    } else if addr.starts_with('[') {
        CidrError::Brackets
    } else if addr
        .split_once('%')
        .is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok())
    {
        CidrError::Zone
    } else if addr
        .rsplit_once(':')
        .is_some_and(|(ip, port)| is_digits(port) && ip.parse::<Ipv4Addr>().is_ok())
    {
        CidrError::Port
    } else if range::is_one(text) {
        CidrError::Range
    } else if text.trim().contains(char::is_whitespace) {
        CidrError::Words
    } else if addr.split('.').count() == 4 && addr.split('.').all(is_digits) {
        let is_octal = |part: &str| part.len() > 1 && part.starts_with('0');
        if addr.split('.').any(is_octal) {
            CidrError::LeadingZero
        } else {
            CidrError::Address
        }
    } else if is_host_name(addr) {
        CidrError::HostName
    } else {
        CidrError::Address
    }
}

/// Labels with a dot between them, the last one not a number.
fn is_host_name(text: &str) -> bool {
    let label = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.contains('.')
        && text.split('.').all(label)
        && last.starts_with(|c: char| c.is_ascii_alphabetic())
}
