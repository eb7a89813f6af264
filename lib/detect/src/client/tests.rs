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
