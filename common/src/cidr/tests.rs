//! Texts that are prefixes, and those that are none.

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
fn a_mapped_prefix_is_that_ipv4_network() {
    for (text, shown) in [
        ("::ffff:198.51.100.7/128", "198.51.100.7/32"),
        ("::FFFF:C633:6407/128", "198.51.100.7/32"),
        ("::ffff:198.51.100.7/120", "198.51.100.0/24"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:128.0.0.0/97", "128.0.0.0/1"),
        // What covers all mapped addresses is not all of IPv4; compatible and translated addresses are IPv6.
        ("::ffff:0:0/96", "::ffff:0.0.0.0/96"),
        ("::ffff:1.2.3.4/90", "::ffc0:0:0/90"),
        ("::198.51.100.7/128", "::c633:6407/128"),
        ("64:ff9b::198.51.100.7/128", "64:ff9b::c633:6407/128"),
        ("::ffff:0:198.51.100.7/128", "::ffff:0:c633:6407/128"),
        ("::fffe:198.51.100.7/128", "::fffe:c633:6407/128"),
    ] {
        assert_eq!(text.parse::<Cidr>().unwrap().to_string(), shown, "{text}");
    }
    let host: IpAddr = "::ffff:198.51.100.7".parse().unwrap();
    assert_eq!(Cidr::host(host).to_string(), "198.51.100.7/32");
    let lenient = Cidr::parse_lenient("::ffff:198.51.100.7").unwrap();
    assert_eq!(lenient, Cidr::host(host));
    assert_eq!(lenient.masked_from("::ffff:198.51.100.7"), None);
    let net: IpNetwork = "::ffff:198.51.100.7/120".parse().unwrap();
    assert_eq!(Cidr::from(net).to_string(), "198.51.100.0/24");
    let mapped = lenient.as_mapped();
    assert_eq!(mapped.as_deref(), Some("::ffff:198.51.100.7/128"));
}

const REFUSED: &[(&str, CidrError)] = &[
    ("1.2.3.4", CidrError::NoPrefix),
    ("", CidrError::NoPrefix),
    ("1.2.3.4/33", CidrError::Prefix { max: 32 }),
    ("1.2.3.4/", CidrError::Prefix { max: 32 }),
    ("1.2.3.4/+8", CidrError::Prefix { max: 32 }),
    ("1.2.3.4/08", CidrError::Prefix { max: 32 }),
    ("1.2.3.4//8", CidrError::Prefix { max: 32 }),
    ("1.2.3.4/8/8", CidrError::Prefix { max: 32 }),
    ("1.2.3.4/99999999999", CidrError::Prefix { max: 32 }),
    ("::1/129", CidrError::Prefix { max: 128 }),
    ("1.2.3.4/ 8", CidrError::Words),
    ("1.2.3.4/8 5.6.7.8/8", CidrError::Words),
    ("1.2.3.4/255.0.0.0", CidrError::Netmask),
    (" 1.2.3.4/8", CidrError::Address),
    ("1.2.3/8", CidrError::Address),
    ("256.0.0.0/8", CidrError::Address),
    ("nonsense", CidrError::Address),
    ("not-a-cidr", CidrError::Address),
    ("2001:db8:::1", CidrError::Address),
    ("1.2.3.04/8", CidrError::LeadingZero),
    ("198.51.100.040", CidrError::LeadingZero),
    ("fe80::1%eth0/64", CidrError::Zone),
    ("fe80::1%eth0", CidrError::Zone),
    ("[2001:db8::1]", CidrError::Brackets),
    ("[2001:db8::1]:443", CidrError::Brackets),
    ("192.0.2.4:443", CidrError::Port),
    ("192.0.2.4:443/32", CidrError::Port),
    ("example.org", CidrError::HostName),
    ("bad.example/24", CidrError::HostName),
    ("https://example.org/drop.txt", CidrError::Url),
    ("198.51.100.1-198.51.100.9", CidrError::Range),
];

#[test]
fn refuses_and_names_what_it_is() {
    for (text, error) in REFUSED {
        assert_eq!(text.parse::<Cidr>(), Err(*error), "{text}");
        // Lists and users hear the same, of what they may not write either.
        let taken = [CidrError::NoPrefix, CidrError::Netmask].contains(error) && !text.is_empty();
        if !taken {
            assert!(Cidr::parse_lenient(text).is_err(), "{text}");
        }
        if !taken && !text.is_empty() {
            assert_eq!(Cidr::parse_lenient(text), Err(*error), "{text}");
        }
    }
}

fn each(text: &str) -> Result<Vec<String>, CidrError> {
    let mut all = Vec::new();
    Cidr::parse_each(text, |cidr| all.push(cidr.to_string()))?;
    Ok(all)
}

#[test]
fn netmasks_and_ranges_become_cidrs() {
    for (text, cidrs) in [
        ("198.51.100.0/255.255.255.0", &["198.51.100.0/24"][..]),
        ("198.51.100.7/255.255.255.255", &["198.51.100.7/32"]),
        ("1.2.3.4/0.0.0.0", &["0.0.0.0/0"]),
        (
            "198.51.100.1-198.51.100.9",
            &[
                "198.51.100.1/32",
                "198.51.100.2/31",
                "198.51.100.4/30",
                "198.51.100.8/31",
            ],
        ),
        ("198.51.100.0 - 198.51.100.255", &["198.51.100.0/24"]),
        ("0.0.0.0-255.255.255.255", &["0.0.0.0/0"]),
        ("192.0.2.7-192.0.2.7", &["192.0.2.7/32"]),
        (
            "2001:db8::-2001:db8::2",
            &["2001:db8::/127", "2001:db8::2/128"],
        ),
        ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &["::/0"]),
        ("::ffff:192.0.2.8-::ffff:192.0.2.9", &["192.0.2.8/31"]),
    ] {
        assert_eq!(each(text).unwrap(), cidrs, "{text}");
    }
    for (text, error) in [
        ("1.2.3.4/255.0.255.0", CidrError::BrokenNetmask),
        ("1.2.3.4/0.0.0.255", CidrError::BrokenNetmask),
        ("::1/255.0.0.0", CidrError::Prefix { max: 128 }),
        ("192.0.2.9-192.0.2.1", CidrError::Backwards),
        ("192.0.2.9-2001:db8::1", CidrError::MixedRange),
        ("192.0.2.9-192.0.2.010", CidrError::LeadingZero),
        ("192.0.2.9-10", CidrError::Address),
        ("192.0.2.9-", CidrError::Address),
    ] {
        assert_eq!(each(text), Err(error), "{text}");
    }
    let one = Cidr::parse_lenient("198.51.100.0-198.51.100.255");
    assert_eq!(one.unwrap().to_string(), "198.51.100.0/24");
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
}

proptest! {
    /// Each address of a small range lies in exactly one of its networks, and none besides.
    #[test]
    fn a_range_is_covered_exactly(first: u32, length in 0u32..600, v6: bool) {
        let last = first.saturating_add(length);
        let ip = |n: u32| -> IpAddr {
            if v6 { Ipv6Addr::from_bits(u128::from(n) << 3).into() } else { Ipv4Addr::from_bits(n).into() }
        };
        let mut nets = Vec::new();
        Cidr::parse_each(&format!("{}-{}", ip(first), ip(last)), |cidr| nets.push(cidr)).unwrap();
        for n in first.saturating_sub(2)..=last.saturating_add(2) {
            let times = nets.iter().filter(|net| net.contains(ip(n))).count();
            prop_assert_eq!(times, usize::from((first..=last).contains(&n)), "{}", ip(n));
        }
        prop_assert!(nets.len() <= 254);
    }

    #[test]
    fn a_mapped_host_is_its_ipv4_host(bits: u32, len in 1u8..=32) {
        let v4 = Ipv4Addr::from_bits(bits);
        let mapped = Cidr::new(v4.to_ipv6_mapped().into(), len + 96).unwrap();
        prop_assert_eq!(mapped, Cidr::new(v4.into(), len).unwrap());
        prop_assert_eq!(mapped.as_mapped().unwrap().parse::<Cidr>(), Ok(mapped));
    }

    #[test]
    fn text_and_ipnetwork_round_trip(addr: IpAddr, len in 0u8..=128) {
        if let Ok(cidr) = Cidr::new(addr, len) {
            prop_assert_eq!(cidr.to_string().parse::<Cidr>(), Ok(cidr));
            let json = format!("\"{cidr}\"");
            prop_assert_eq!(serde_json::to_string(&cidr).unwrap(), json);
            prop_assert_eq!(Cidr::from(IpNetwork::from(cidr)), cidr);
            let network = IpNetwork::new(addr, len).unwrap().network();
            prop_assert_eq!(network.to_canonical(), cidr.addr().to_canonical());
            prop_assert!(cidr.contains(addr) || cidr.contains(addr.to_canonical()));
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
