//! `[peering]`: peers and their limits.

use super::*;

#[test]
fn one_message_for_each_bad_peer() {
    let token = "token = \"bbfa1388-3218-463c-9722-6805507c14bb\"";
    for (peer, expected) in [
        (
            format!("port = 1\n{token}"),
            "4: peering.peers[0].host: is missing",
        ),
        (
            format!("host = \"a\"\n{token}"),
            "4: peering.peers[0].port: is missing",
        ),
        (
            "host = \"a\"\nport = 1".to_owned(),
            "4: peering.peers[0].token: is missing",
        ),
        (
            format!("host = \"a b\"\nport = 1\n{token}"),
            "5: peering.peers[0].host: \"a b\" is neither",
        ),
        (
            format!("host = \"a\"\nport = 65536\n{token}"),
            "6: peering.peers[0].port: 65536 is not in the range from 1 to 65535",
        ),
        (
            "host = \"a\"\nport = 1\ntoken = \"5ec2e7\"".to_owned(),
            "7: peering.peers[0].token: is not a UUID",
        ),
        (
            format!("host = \"a\"\nport = 1\ntls = 1\n{token}"),
            "7: peering.peers[0].tls: must be true or false",
        ),
        (
            format!(
                "host = \"a\"\nport = 1\n{token}\n[[peering.peers]]\nhost = \"A\"\nport = 1\n{token}"
            ),
            "8: peering.peers[1].host: A port 1 is named twice",
        ),
    ] {
        let told = only_mistake(&format!("{HEAD}[[peering.peers]]\n{peer}\n"));
        assert!(
            told.starts_with(expected),
            "{peer}\n  expected {expected}\n  got      {told}"
        );
        assert!(!told.contains("5ec2e7"));
    }
    for host in [
        "192.0.2.1",
        "2001:db8::1",
        "[2001:db8::1]",
        "a_b-c.example.",
    ] {
        let peer = format!("{HEAD}[[peering.peers]]\nhost = \"{host}\"\nport = 1\n{token}\n");
        assert!(Config::parse(&peer).is_ok(), "{host}");
    }
}

#[test]
fn the_limits_of_peers() {
    let token = "token = \"bbfa1388-3218-463c-9722-6805507c14bb\"\n";
    let config = Config::parse(&format!(
        "{HEAD}[peering]\nenabled = true\nmin_prefix_v4 = 12\ntombstone_days = 30\n\
         [[peering.peers]]\nhost = \"b.example.org\"\nport = 1\n{token}\
         [[peering.peers]]\nhost = \"b.example.org\"\nport = 2\n{token}ignore = true\nmin_prefix_v6 = 48\n\
         adds_per_second = 7\ntags = \"ssh*\"\ndeletions = \"all\"\ntotal_prefix_v4 = 0\nca = \"/etc/ca.pem\"\n\
         [[peering.peers]]\nname = \"c\"\nhost = \"[::1]\"\nport = 2\n{token}"
    ))
    .unwrap();
    let Peering {
        peers,
        limits,
        tombstones,
        enabled,
    } = config.peering;
    assert!(enabled && !limits.ignore);
    assert_eq!(tombstones.as_secs(), 30 * 86_400);
    let names: Vec<&str> = peers.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["b-example-org", "b-example-org-2", "c"]);
    assert_eq!(peers[0].limits, limits);
    let second = &peers[1].limits;
    assert_eq!((second.min_prefix_v4, second.min_prefix_v6), (12, 48));
    assert!(second.ignore && second.adds_per_second == 7 && second.tags.is_some());
    assert!(second.ends_others && !limits.ends_others);
    assert_eq!((second.total_prefix_v4, second.total_prefix_v6), (0, 13));
    assert_eq!(peers[1].ca.as_deref(), Some(Path::new("/etc/ca.pem")));
}

#[test]
fn wrong_limits_of_peers_are_named() {
    let token = "token = \"bbfa1388-3218-463c-9722-6805507c14bb\"\n";
    for (bad, said) in [
        (
            "tombstone_days = 0",
            "5: peering.tombstone_days: 0 is not in the range from 1 to 365",
        ),
        (
            "min_prefix_v4 = 33",
            "5: peering.min_prefix_v4: 33 is not in the range from 0 to 32",
        ),
        (
            "deletions = \"none\"",
            "5: peering.deletions: \"none\" is neither \"own\" nor \"all\"",
        ),
        (
            "adds_per_second = 0",
            "5: peering.adds_per_second: 0 is not in the range",
        ),
        ("tags = 1", "5: peering.tags: must be a string"),
        ("ignore = 1", "5: peering.ignore: must be true or false"),
    ] {
        let told = only_mistake(&format!("{HEAD}[peering]\n{bad}\n"));
        assert!(told.contains(said), "{told}");
    }
    let peer = |more: &str| format!("[[peering.peers]]\nhost = \"h\"\nport = 1\n{token}{more}\n");
    for (bad, said) in [
        ("name = \"a b\"", "peering.peers[0].name: \"a b\": "),
        (
            "ca = \"ca.pem\"",
            "peering.peers[0].ca: \"ca.pem\" must be an absolute path",
        ),
    ] {
        let told = only_mistake(&format!("{HEAD}{}", peer(bad)));
        assert!(told.contains(said), "{told}");
    }
    let twice = peer("name = \"x\"") + &peer("name = \"x\"").replace("\"h\"", "\"i\"");
    let told = only_mistake(&format!("{HEAD}{twice}"));
    assert!(told.contains("two peers are called x"), "{told}");
}
