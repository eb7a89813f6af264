//! Addresses as log writers print them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::scan::others;

/// What stands for the other end of a Unix socket, where [`Format::accept_unix`](crate::Format::accept_unix) allows it.
pub(crate) const LOCAL_PEER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The longest text of an address: brackets, 45 characters, a zone, a port.
const LONGEST: usize = 80;

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1%eth0]:443`. An IPv4-mapped address is
/// the IPv4 address. None for any other text, names and leading zeros among them.
pub(crate) fn address(text: &[u8]) -> Option<IpAddr> {
    if text.len() > LONGEST {
        return None;
    }
    if let Some(bracketed) = text.strip_prefix(b"[") {
        let end = bracketed.iter().position(|byte| *byte == b']')?;
        let port = &bracketed[end + 1..];
        return (port.is_empty() || is_port(port))
            .then(|| v6(&bracketed[..end]))
            .flatten();
    }
    match v4(text) {
        Some((addr, rest)) => (rest.is_empty() || is_port(rest)).then_some(addr.into()),
        None => v6(text),
    }
}

/// Reads `ADDRESS:PORT` with the port always present and IPv6 without brackets, as HAProxy writes it.
pub(super) fn before_port(text: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memrchr(b':', text)?;
    is_port(&text[colon..]).then(|| &text[..colon])
}

/// Whether the text is a colon and a port.
fn is_port(text: &[u8]) -> bool {
    (2..=6).contains(&text.len()) && text[0] == b':' && text[1..].iter().all(u8::is_ascii_digit)
}

/// The IPv4 address at the start of a text and its length, if a space follows, as [`address`] reads it. Has no branch that
/// depends on the lengths of its numbers. None says nothing: ports, other addresses, and short texts are left to the rest.
#[inline]
pub(super) fn v4_before_space(text: &[u8]) -> Option<(Ipv4Addr, usize)> {
    let text: &[u8; 16] = text.first_chunk()?;
    let [first, second] = text.as_chunks().0 else {
        return None;
    };
    let mut ends = ends_of(*first) | ends_of(*second) << 8;
    let (mut addr, mut start, mut is_valid) = (0, 0, true);
    for octet in 0..4 {
        let end = ends.trailing_zeros() as usize;
        ends &= ends.wrapping_sub(1);
        let (value, fits) = octet_of(before(text, end)?, end.wrapping_sub(start));
        addr = addr << 8 | value;
        is_valid &= fits & (*text.get(end)? == if octet == 3 { b' ' } else { b'.' });
        start = end + 1;
    }
    is_valid.then_some((Ipv4Addr::from_bits(addr), start - 1))
}

/// Which of eight bytes are no digits.
#[inline]
const fn ends_of(bytes: [u8; 8]) -> u32 {
    // The highest bits side by side.
    ((others(bytes) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}

/// The four bytes before `end`, the last one on top; zeros before the start.
#[inline]
fn before(text: &[u8; 16], end: usize) -> Option<u32> {
    let from = text.get(end.saturating_sub(4)..)?.first_chunk()?;
    let missing = 4_usize.saturating_sub(end) as u32;
    Some(u32::from_le_bytes(*from).wrapping_shl(missing * 8))
}

/// The number of the last `len` of four digits, and whether it is one of an address.
#[inline]
fn octet_of(digits: u32, len: usize) -> (u32, bool) {
    // Bytes of digits become their values.
    let digits = digits ^ 0x3030_3030;
    let digits = digits & u32::MAX.wrapping_shl(32_u32.wrapping_sub((len as u32).wrapping_mul(8)));
    let value = (digits >> 24) + (digits >> 16 & 0xff) * 10 + (digits >> 8 & 0xff) * 100;
    // Of two digits from 10 on, of three from 100 on: no leading zeros.
    let least = [u32::MAX, 0, 10, 100].get(len);
    (
        value,
        value <= 255 && least.is_some_and(|least| value >= *least),
    )
}

/// An IPv4 address at the start of the text, and what follows it.
fn v4(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let mut addr = 0_u32;
    let mut at = 0;
    for octet in 0..4 {
        if octet > 0 {
            if text.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        let start = at;
        let mut value = 0_u32;
        while let Some(digit) = text.get(at).filter(|byte| byte.is_ascii_digit())
            && at < start + 3
        {
            value = value * 10 + u32::from(digit - b'0');
            at += 1;
        }
        let leading_zero = at > start + 1 && text[start] == b'0';
        if at == start || value > 255 || leading_zero {
            return None;
        }
        addr = addr << 8 | value;
    }
    Some((Ipv4Addr::from_bits(addr), &text[at..]))
}

fn v6(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let addr = match text.split_once('%') {
        None => text,
        Some((addr, zone)) => {
            let is_zone = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            (!zone.is_empty() && zone.bytes().all(is_zone)).then_some(addr)?
        }
    };
    let addr: Ipv6Addr = addr.parse().ok()?;
    Some(IpAddr::V6(addr).to_canonical())
}

/// Whether the text is what servers log for a client on a Unix socket (nginx `unix:`, Caddy and Go `@`).
pub(super) fn is_unix(text: &[u8]) -> bool {
    text.starts_with(b"unix:") || text == b"unix" || text == b"@"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_way_to_write_an_address_is_read() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("0.0.0.0", "0.0.0.0"),
            ("255.255.255.255:65535", "255.255.255.255"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%wg-0.1]:1", "fe80::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("[::FFFF:1.2.3.4]:80", "1.2.3.4"),
            ("::1.2.3.4", "::1.2.3.4"),
        ] {
            let expected: IpAddr = expected.parse().unwrap();
            assert_eq!(address(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            "-",
            "unknown",
            "unix:",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "01.2.3.4",
            "1.2.3.4:",
            "1.2.3.4:x",
            "1.2.3.4:123456",
            " 1.2.3.4",
            "1.2.3.4 ",
            "1.2.3.4/32",
            "[1.2.3.4]",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]443",
            "fe80::1%",
            "fe80::1%a b",
            ":::",
            "1::2::3",
            "host.example",
            "1.2.3.4,5.6.7.8",
            "1.2.3.0004",
            "1,2.3.4",
        ] {
            assert_eq!(address(text.as_bytes()), None, "{text}");
        }
        assert_eq!(address(&[b'1'; 10_000]), None);
        assert_eq!(address(b"\xff\xfe::1"), None);
    }

    #[test]
    fn a_port_behind_ipv6_without_brackets_is_split_at_the_last_colon() {
        let split = |text: &'static str| before_port(text.as_bytes()).and_then(address);
        assert_eq!(split("192.0.2.1:80"), "192.0.2.1".parse().ok());
        assert_eq!(split("2001:db8::1:54321"), "2001:db8::1".parse().ok());
        assert_eq!(split("::ffff:192.0.2.1:80"), "192.0.2.1".parse().ok());
        assert_eq!(split("192.0.2.1"), None);
        assert_eq!(split("unix:1"), None);
    }

    proptest! {
        #[test]
        fn text_is_read_as_the_standard_library_reads_it(addr in any::<IpAddr>(), port: u16) {
            let text = addr.to_string();
            prop_assert_eq!(address(text.as_bytes()), Some(addr.to_canonical()));
            let socket = std::net::SocketAddr::new(addr, port).to_string();
            prop_assert_eq!(address(socket.as_bytes()), Some(addr.to_canonical()));
        }

        #[test]
        fn no_text_is_an_address_that_the_standard_library_denies(text in "[0-9.]{1,16}") {
            let expected = text.parse::<IpAddr>().ok();
            prop_assert_eq!(address(text.as_bytes()), expected);
        }

        #[test]
        fn in_front_of_a_space_it_is_the_same_address(
            addr: Ipv4Addr,
            other in "[0-9]{0,4}([.:/ ][0-9]{0,4}){0,5}",
        ) {
            let text = format!("{addr} - - [01/Dec");
            let len = addr.to_string().len();
            prop_assert_eq!(v4_before_space(text.as_bytes()), Some((addr, len)));
            let text = format!("{other} - - [01/Dec");
            let (first, _) = text.split_once(' ').unwrap();
            let expected = first.parse().ok().map(|addr| (addr, first.len()));
            prop_assert_eq!(v4_before_space(text.as_bytes()), expected);
        }
    }
}
