//! Ranges of addresses, `198.51.100.1-198.51.100.9`, as the fewest CIDRs that cover exactly them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Cidr, CidrError, text::named};

fn ends(text: &str) -> Option<(&str, &str)> {
    let (first, last) = text.split_once('-')?;
    Some((first.trim_end(), last.trim_start()))
}

/// Whether the text is meant as a range: an address stands on one side of a dash.
pub(super) fn is_one(text: &str) -> bool {
    let is_address = |end: &str| end.parse::<IpAddr>().is_ok();
    ends(text).is_some_and(|(first, last)| is_address(first) || is_address(last))
}

/// Hands out the networks of a range.
///
/// # Errors
/// [`CidrError`]; then none was handed out.
pub(super) fn networks(text: &str, mut each: impl FnMut(Cidr)) -> Result<(), CidrError> {
    let (first, last) = ends(text).ok_or(CidrError::Address)?;
    let address = |end: &str| {
        let parsed = end.parse::<IpAddr>();
        parsed.map(|ip| ip.to_canonical()).map_err(|_| named(end))
    };
    match (address(first)?, address(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (u128::from(first.to_bits()), u128::from(last.to_bits()));
            cover(first, last, 32, |addr, len| {
                let addr = Ipv4Addr::from_bits(u32::try_from(addr).unwrap_or(u32::MAX));
                each_valid(addr.into(), len, &mut each);
            })
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            cover(first.to_bits(), last.to_bits(), 128, |addr, len| {
                each_valid(Ipv6Addr::from_bits(addr).into(), len, &mut each);
            })
        }
        _ => Err(CidrError::MixedRange),
    }
}

fn each_valid(addr: IpAddr, len: u8, each: &mut impl FnMut(Cidr)) {
    // The length is that of the address's own family, so it fits.
    if let Ok(cidr) = Cidr::new(addr, len) {
        each(cidr);
    }
}

/// Takes the largest aligned block at the beginning of what is left, until nothing is.
fn cover(
    mut first: u128,
    last: u128,
    bits: u8,
    mut each: impl FnMut(u128, u8),
) -> Result<(), CidrError> {
    if first > last {
        return Err(CidrError::Backwards);
    }
    loop {
        let aligned = first.trailing_zeros().min(u32::from(bits));
        // The logarithm of the number of addresses, which does not fit for all of IPv6.
        let fits = (last - first).checked_add(1).map_or(128, u128::ilog2);
        let block = aligned.min(fits);
        each(first, bits - u8::try_from(block).unwrap_or(bits));
        let next = 1_u128
            .checked_shl(block)
            .and_then(|size| first.checked_add(size));
        match next {
            Some(next) if next <= last => first = next,
            _ => return Ok(()),
        }
    }
}
