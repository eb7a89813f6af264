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
