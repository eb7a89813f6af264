//! Counters are exact: every frame is counted once, in the right place.

use std::{collections::BTreeMap, net::Ipv4Addr};

use couic_common::{Counter, UNTAGGED};
use couic_e2e::{Daemon, ETH_P_8021AD, ETH_P_8021Q, Frame, Lab, SYNC_FRAME_LEN, Wire};
use serde_json::json;

/// Packets and bytes of some frames.
fn sum<'f>(frames: impl IntoIterator<Item = &'f Frame>) -> Counter {
    let mut sum = Counter::default();
    for frame in frames {
        sum.rx_packets += 1;
        sum.rx_bytes += frame.len();
    }
    sum
}

/// The wire's own synchronization frames.
fn syncs(wire: &Wire) -> Counter {
    Counter {
        rx_packets: wire.syncs(),
        rx_bytes: wire.syncs() * SYNC_FRAME_LEN,
    }
}

fn plus(a: Counter, b: Counter) -> Counter {
    Counter {
        rx_packets: a.rx_packets + b.rx_packets,
        rx_bytes: a.rx_bytes + b.rx_bytes,
    }
}

fn tag(daemon: &Daemon<'_>, policy: &str, tag: &str) -> Counter {
    daemon
        .api()
        .tags(policy)
        .get(tag)
        .copied()
        .unwrap_or_default()
}

#[test]
fn every_frame_is_counted_once_with_its_bytes() {
    for mode in ["native", "generic"] {
        let Some(lab) = Lab::quiet() else { return };
        let daemon = lab.daemon().mode(mode).start();
        let mut wire = lab.wire();
        daemon.api().add("drop", "198.51.100.0/24", Some("net"), 0);
        daemon
            .api()
            .add("ignore", "198.51.100.128/25", Some("good"), 0);
        daemon.api().add("drop", "2001:db8:7::/48", None, 0);
        let dropped: Vec<Frame> = (0..40)
            .map(|n| Frame::v4("198.51.100.7").padded(n))
            .collect();
        let dropped6: Vec<Frame> = (0..30)
            .map(|n| {
                Frame::v6("2001:db8:7::1")
                    .vlan(ETH_P_8021Q, 5)
                    .padded(3 * n)
            })
            .collect();
        let ignored: Vec<Frame> = (0..20)
            .map(|n| Frame::v4("198.51.100.200").padded(n))
            .collect();
        let innocent: Vec<Frame> = (0..50).map(|n| Frame::v4("192.0.2.9").padded(n)).collect();
        for frames in [&dropped, &dropped6, &ignored, &innocent] {
            wire.arrivals(frames);
        }
        let xdp = daemon.api().stats().xdp;
        assert_eq!(xdp.xdp_drop, sum(dropped.iter().chain(&dropped6)), "{mode}");
        let passed = sum(ignored.iter().chain(&innocent));
        assert_eq!(xdp.xdp_pass, plus(passed, syncs(&wire)), "{mode}");
        for never in [xdp.xdp_aborted, xdp.xdp_tx, xdp.xdp_redirect] {
            assert_eq!(never, Counter::default(), "{mode}");
        }
        assert_eq!(tag(&daemon, "drop", "net"), sum(&dropped), "{mode}");
        assert_eq!(tag(&daemon, "drop", UNTAGGED), sum(&dropped6), "{mode}");
        assert_eq!(tag(&daemon, "ignore", "good"), sum(&ignored), "{mode}");
    }
}

#[test]
fn runts_are_counted() {
    for mode in ["native", "generic"] {
        let Some(lab) = Lab::quiet() else { return };
        let daemon = lab.daemon().mode(mode).start();
        let mut wire = lab.wire();
        let v4_cut = [0x45; 19];
        let v6_cut = [0x60; 39];
        let runts = [
            Frame::raw(0x0800, &[]),
            Frame::raw(0x0800, &[0x45]),
            Frame::raw(0x0800, &v4_cut),
            Frame::raw(0x86dd, &[]),
            Frame::raw(0x86dd, &v6_cut),
            Frame::raw(ETH_P_8021Q, &[]),
            Frame::raw(ETH_P_8021Q, &[0, 5, 8]),
            Frame::raw(ETH_P_8021AD, &[0, 5, 0x81, 0, 0]),
            Frame::raw(0x0800, &v4_cut).vlan(ETH_P_8021Q, 5),
            Frame::raw(0x86dd, &v6_cut)
                .vlan(ETH_P_8021AD, 5)
                .vlan(ETH_P_8021Q, 6),
        ];
        // Short, but not truncated: it has no header that announces more.
        let short_of_a_stranger = Frame::raw(0x88b6, &[]);
        wire.arrivals(&runts);
        wire.arrivals(std::slice::from_ref(&short_of_a_stranger));
        let xdp = daemon.api().stats().xdp;
        assert_eq!(xdp.xdp_aborted, sum(&runts), "{mode}");
        let passed = plus(sum([&short_of_a_stranger]), syncs(&wire));
        assert_eq!(xdp.xdp_pass, passed, "{mode}");
        assert_eq!(xdp.xdp_drop, Counter::default(), "{mode}");
    }
}

#[test]
fn four_thousand_and_ninety_six_tags_are_exact() {
    const TAGS: u32 = 4096;
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    let source = |n: u32| Ipv4Addr::from_bits(0x0a00_0000 + n * 97);
    let jobs: Vec<_> = (0..TAGS)
        .map(|n| {
            let cidr = format!("{}/32", source(n));
            json!({"action": "add", "entry": {"cidr": cidr, "tag": format!("tag-{n}")}})
        })
        .collect();
    let outcome = daemon.api().batch("drop", &jobs);
    assert_eq!(outcome["added"], TAGS, "{outcome}");
    let mut expected = BTreeMap::new();
    let mut frames = Vec::new();
    for n in 0..TAGS {
        // One to three packets of an individual length: no two neighbours have equal counters.
        let frame = Frame::udp(source(n).into()).padded((n % 251) as usize);
        let times = 1 + n as usize % 3;
        expected.insert(format!("tag-{n}"), sum(std::iter::repeat_n(&frame, times)));
        frames.extend(std::iter::repeat_n(frame, times));
    }
    assert!(wire.arrivals(&frames).iter().all(|count| *count == 0));
    let mut counted = daemon.api().tags("drop");
    counted.remove(UNTAGGED);
    assert_eq!(counted, expected);
}

#[test]
fn the_longest_prefix_of_the_deciding_policy_counts() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    for (policy, cidr, tag) in [
        ("drop", "10.0.0.0/8", "wide"),
        ("drop", "10.1.0.0/16", "middle"),
        ("drop", "10.1.2.3/32", "narrow"),
        ("ignore", "10.1.2.0/24", "good"),
        ("ignore", "10.1.0.0/20", "better"),
    ] {
        daemon.api().add(policy, cidr, Some(tag), 0);
    }
    let frames = ["10.1.2.3", "10.1.2.4", "10.1.3.1", "10.1.100.1", "10.2.0.1"].map(Frame::v4);
    assert_eq!(wire.arrivals(&frames), [1, 1, 1, 0, 0]);
    let packets = |policy, name| tag(&daemon, policy, name).rx_packets;
    assert_eq!(packets("ignore", "good"), 2);
    assert_eq!(packets("ignore", "better"), 1);
    assert_eq!(packets("drop", "middle"), 1);
    assert_eq!(packets("drop", "wide"), 1);
    assert_eq!(packets("drop", "narrow"), 0);
}

#[test]
fn counters_of_a_tag_outlive_its_last_rule() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    let frame = Frame::v4("198.51.100.7");
    daemon
        .api()
        .add("drop", "198.51.100.7/32", Some("brief"), 0);
    assert_eq!(wire.arrivals(&[frame.clone(), frame.clone()]), [0, 0]);
    daemon.api().remove("drop", "198.51.100.7/32");
    assert!(wire.passes(&frame));
    assert_eq!(tag(&daemon, "drop", "brief"), sum([&frame, &frame]));
    daemon
        .api()
        .add("drop", "198.51.100.7/32", Some("brief"), 0);
    assert!(!wire.passes(&frame));
    assert_eq!(tag(&daemon, "drop", "brief"), sum([&frame, &frame, &frame]));
}

#[test]
fn rules_count_their_hits_if_configured() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab
        .daemon()
        .config("[statistics]\nper_rule = true\n")
        .start();
    let mut wire = lab.wire();
    let api = daemon.api();
    for cidr in [
        "198.51.100.7/32",
        "198.51.100.0/24",
        "198.0.0.0/8",
        "2001:db8::/32",
        "2001:db8:7::1/128",
    ] {
        api.add("drop", cidr, None, 0);
    }
    for (source, times) in [("198.51.100.7", 5), ("198.51.100.8", 3), ("198.1.1.1", 2)] {
        wire.arrivals(&vec![Frame::v4(source); times]);
    }
    wire.arrivals(&vec![Frame::v6("2001:db8:7::1"); 4]);
    wire.arrivals(&vec![Frame::v6("2001:db8:7::2"); 6]);
    for (path, hits) in [
        ("198.51.100.7/32", 5),
        ("198.51.100.0/24", 3),
        ("198.0.0.0/8", 2),
        ("2001:db8::/32", 6),
        ("2001:db8:7::1/128", 4),
    ] {
        let entry = api.get(&format!("/v1/drop/{path}"));
        assert_eq!(entry["hits"], hits, "{entry}");
        let ago = couic_e2e::unix_now() - entry["last_seen"].as_f64().unwrap();
        assert!(ago.abs() < 60.0, "{entry}");
    }
    let row = daemon.ctl_ok(&["drop", "inspect", "198.51.100.7/32"]);
    assert!(
        row.contains("\t5\t"),
        "the figures of the rule are missing:\n{row}"
    );
    // A renewal keeps the counters, a rule that is added again starts at zero.
    let entry = json!({"cidr": "198.51.100.0/24", "tag": "new", "expiration": 0});
    let outcome = api.batch("drop", &[json!({"action": "add", "entry": entry})]);
    assert_eq!(outcome["updated"], 1, "{outcome}");
    assert_eq!(api.get("/v1/drop/198.51.100.0/24")["hits"], 3);
    api.remove("drop", "198.51.100.0/24");
    api.add("drop", "198.51.100.0/24", None, 0);
    let entry = api.get("/v1/drop/198.51.100.0/24");
    assert_eq!(
        (&entry["hits"], &entry["last_seen"]),
        (&json!(0), &json!(0))
    );
}
