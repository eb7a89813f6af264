//! Prefixes of every length: exact at both ends, and the longest one of the deciding policy counts.

use couic_common::Policy;
use couic_firewall::dataplane::Counters;

use super::{
    Rig,
    dataplane_common::{XDP_DROP, XDP_PASS},
    rig, slot,
};

/// A prefix, addresses within (including first and last), addresses just outside.
const BOUNDARIES: &[(&str, &[&str], &[&str])] = &[
    (
        "0.0.0.0/0",
        &["0.0.0.0", "127.255.255.255", "255.255.255.255"],
        &["::1"],
    ),
    (
        "0.0.0.0/1",
        &["0.0.0.0", "127.255.255.255"],
        &["128.0.0.0", "255.255.255.255"],
    ),
    (
        "128.0.0.0/1",
        &["128.0.0.0", "255.255.255.255"],
        &["0.0.0.0", "127.255.255.255"],
    ),
    (
        "10.0.0.0/7",
        &["10.0.0.0", "11.255.255.255"],
        &["9.255.255.255", "12.0.0.0"],
    ),
    (
        "10.0.0.0/8",
        &["10.0.0.0", "10.255.255.255"],
        &["9.255.255.255", "11.0.0.0"],
    ),
    (
        "172.16.0.0/16",
        &["172.16.0.0", "172.16.255.255"],
        &["172.15.255.255", "172.17.0.0"],
    ),
    (
        "172.16.128.0/17",
        &["172.16.128.0", "172.16.255.255"],
        &["172.16.127.255", "172.17.0.0"],
    ),
    (
        "172.16.64.0/18",
        &["172.16.64.0", "172.16.127.255"],
        &["172.16.63.255", "172.16.128.0"],
    ),
    (
        "192.0.2.0/24",
        &["192.0.2.0", "192.0.2.255"],
        &["192.0.1.255", "192.0.3.0"],
    ),
    (
        "192.0.2.128/25",
        &["192.0.2.128", "192.0.2.255"],
        &["192.0.2.127", "192.0.3.0"],
    ),
    (
        "192.0.2.6/31",
        &["192.0.2.6", "192.0.2.7"],
        &["192.0.2.5", "192.0.2.8"],
    ),
    ("192.0.2.6/32", &["192.0.2.6"], &["192.0.2.5", "192.0.2.7"]),
    ("0.0.0.0/32", &["0.0.0.0"], &["0.0.0.1", "255.255.255.255"]),
    (
        "255.255.255.255/32",
        &["255.255.255.255"],
        &["255.255.255.254", "0.0.0.0"],
    ),
    (
        "::/0",
        &["::", "7fff::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        &["0.0.0.0"],
    ),
    (
        "8000::/1",
        &["8000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        &["7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ),
    (
        "fc00::/7",
        &["fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        &["fbff::", "fe00::"],
    ),
    (
        "2000::/8",
        &["2000::", "20ff:ffff::1"],
        &["1fff:ffff::", "2100::"],
    ),
    (
        "2001::/16",
        &["2001::", "2001:ffff::"],
        &["2000:ffff::", "2002::"],
    ),
    (
        "2001:8000::/17",
        &["2001:8000::", "2001:ffff::"],
        &["2001:7fff:ffff::", "2002::"],
    ),
    (
        "2001:db8::/31",
        &["2001:db8::", "2001:db9:ffff::"],
        &["2001:db7:ffff::", "2001:dba::"],
    ),
    (
        "2001:db8::/32",
        &["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"],
        &["2001:db7:ffff::", "2001:db9::"],
    ),
    (
        "2001:db8:8000::/33",
        &["2001:db8:8000::", "2001:db8:ffff::"],
        &["2001:db8:7fff::", "2001:db9::"],
    ),
    (
        "2001:db8:7::/48",
        &["2001:db8:7::", "2001:db8:7:ffff:ffff:ffff:ffff:ffff"],
        &["2001:db8:6:ffff::", "2001:db8:8::"],
    ),
    (
        "2001:db8:7:9::/64",
        &["2001:db8:7:9::", "2001:db8:7:9:ffff:ffff:ffff:ffff"],
        &["2001:db8:7:8::", "2001:db8:7:a::"],
    ),
    (
        "2001:db8:7:9:8000::/65",
        &["2001:db8:7:9:8000::", "2001:db8:7:9:ffff::"],
        &["2001:db8:7:9:7fff::", "2001:db8:7:a::"],
    ),
    (
        "2001:db8::6/127",
        &["2001:db8::6", "2001:db8::7"],
        &["2001:db8::5", "2001:db8::8"],
    ),
    (
        "2001:db8::6/128",
        &["2001:db8::6"],
        &["2001:db8::5", "2001:db8::7"],
    ),
    (
        "::/128",
        &["::"],
        &["::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ),
    (
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
        &["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        &["::", "ffff::"],
    ),
    (
        "::ffff:192.0.2.0/120",
        &["192.0.2.0", "192.0.2.255"],
        &["::ffff:192.0.2.1", "192.0.3.0"],
    ),
];

#[test]
fn prefix_boundaries_are_exact() {
    let Some(mut rig) = rig() else { return };
    for (number, (cidr, inside, outside)) in BOUNDARIES.iter().enumerate() {
        rig.put(Policy::Drop, cidr, number + 1);
        for source in *inside {
            assert_eq!(rig.verdict(source), XDP_DROP, "{source} is in {cidr}");
        }
        for source in *outside {
            assert_eq!(rig.verdict(source), XDP_PASS, "{source} is not in {cidr}");
        }
        let counted = rig.counters.tag(Policy::Drop, slot(number + 1));
        assert_eq!(counted.rx_packets, inside.len() as u64, "{cidr}");
        rig.put(Policy::Ignore, cidr, number + 1);
        for source in *inside {
            assert_eq!(
                rig.verdict(source),
                XDP_PASS,
                "{source} is ignored by {cidr}"
            );
        }
        rig.remove(Policy::Ignore, cidr);
        assert_eq!(rig.verdict(inside[0]), XDP_DROP, "{cidr} again");
        rig.remove(Policy::Drop, cidr);
        for source in *inside {
            assert_eq!(rig.verdict(source), XDP_PASS, "{source} after {cidr} went");
        }
    }
}

#[test]
fn the_longest_prefix_of_the_deciding_policy_counts() {
    let Some(mut rig) = rig() else { return };
    rig.put(Policy::Drop, "10.0.0.0/8", 1);
    rig.put(Policy::Drop, "10.1.2.0/24", 2);
    rig.put(Policy::Drop, "10.1.2.3/32", 3);
    let drops =
        |rig: &Rig| [1, 2, 3].map(|tag| rig.counters.tag(Policy::Drop, slot(tag)).rx_packets);
    for source in ["10.9.9.9", "10.1.2.9", "10.1.2.3"] {
        assert_eq!(rig.verdict(source), XDP_DROP);
    }
    assert_eq!(drops(&rig), [1, 1, 1]);
    rig.put(Policy::Ignore, "0.0.0.0/0", 4);
    rig.put(Policy::Ignore, "10.1.0.0/16", 5);
    for source in ["10.9.9.9", "10.1.2.3", "192.0.2.1"] {
        assert_eq!(rig.verdict(source), XDP_PASS);
    }
    let ignores = [4, 5].map(|tag| rig.counters.tag(Policy::Ignore, slot(tag)).rx_packets);
    assert_eq!((drops(&rig), ignores), ([1, 1, 1], [2, 1]));
}
