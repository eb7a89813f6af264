//! Verdicts: dropped and passed frames.

use couic_e2e::{
    Daemon, ETH_P_8021AD, ETH_P_8021Q, ETH_P_QINQ1, Frame, HOST_IFACE, HOST_V4, HOST_V6, Lab,
    OUTSIDE_IFACE, OUTSIDE_V4, OUTSIDE_V6,
};

/// A rule, the first and last source within it, and the sources just outside.
type Edges<'s> = (&'s str, [&'s str; 2], [&'s str; 2]);

const EDGES_V4: [Edges<'_>; 5] = [
    (
        "198.51.100.7/32",
        ["198.51.100.7"; 2],
        ["198.51.100.6", "198.51.100.8"],
    ),
    (
        "203.0.112.0/31",
        ["203.0.112.0", "203.0.112.1"],
        ["203.0.111.255", "203.0.112.2"],
    ),
    (
        "10.9.0.0/17",
        ["10.9.0.0", "10.9.127.255"],
        ["10.8.255.255", "10.9.128.0"],
    ),
    (
        "10.20.0.0/16",
        ["10.20.0.0", "10.20.255.255"],
        ["10.19.255.255", "10.21.0.0"],
    ),
    (
        "64.0.0.0/3",
        ["64.0.0.1", "95.255.255.255"],
        ["63.255.255.255", "96.0.0.0"],
    ),
];
const EDGES_V6: [Edges<'_>; 5] = [
    (
        "2001:db8::7/128",
        ["2001:db8::7"; 2],
        ["2001:db8::6", "2001:db8::8"],
    ),
    (
        "2001:db8:1::/65",
        ["2001:db8:1::", "2001:db8:1:0:7fff::"],
        ["2001:db8:1:0:8000::", "2001:db8:0:ffff::"],
    ),
    (
        "2001:db8:2::/48",
        ["2001:db8:2::1", "2001:db8:2:ffff::"],
        ["2001:db8:1::", "2001:db8:3::"],
    ),
    (
        "2a00:10::/31",
        ["2a00:10::", "2a00:11:ffff::"],
        ["2a00:f:ffff::", "2a00:12::"],
    ),
    ("4000::/2", ["4000::1", "7fff::"], ["3fff::", "8000::"]),
];

#[test]
fn drop_affects_only_the_covered_sources() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    for (edges, make) in [
        (EDGES_V4, Frame::v4 as fn(&str) -> Frame),
        (EDGES_V6, Frame::v6),
    ] {
        for (cidr, inside, beyond) in edges {
            let frames: Vec<Frame> = inside.iter().chain(&beyond).map(|s| make(s)).collect();
            assert_eq!(wire.arrivals(&frames), [1, 1, 1, 1], "before {cidr}");
            daemon.api().add("drop", cidr, None, 0);
            assert_eq!(wire.arrivals(&frames), [0, 0, 1, 1], "{cidr}");
            daemon.api().remove("drop", cidr);
            assert_eq!(wire.arrivals(&frames), [1, 1, 1, 1], "after {cidr}");
        }
    }
}

#[test]
fn a_prefix_of_length_zero_covers_only_its_own_family() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    let frames = [
        Frame::v4("198.51.100.7"),
        Frame::v6("2001:db8::7"),
        Frame::v6("::ffff:198.51.100.7"),
    ];
    daemon.api().add("drop", "0.0.0.0/0", None, 0);
    assert_eq!(wire.arrivals(&frames), [0, 1, 1]);
    daemon.api().add("drop", "::/0", None, 0);
    assert_eq!(wire.arrivals(&frames), [0, 0, 0]);
    daemon.api().remove("drop", "0.0.0.0/0");
    assert_eq!(wire.arrivals(&frames), [1, 0, 0]);
}

#[test]
fn ignore_overrides_drop_for_all_prefix_lengths() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    let lengths4 = [0, 7, 8, 15, 16, 17, 24, 31, 32].map(|len| format!("198.51.100.7/{len}"));
    let lengths6 =
        [0, 16, 31, 32, 47, 48, 64, 65, 127, 128].map(|len| format!("2001:db8::7/{len}"));
    let v4 = Frame::v4("198.51.100.7");
    let v6 = Frame::v6("2001:db8::7");
    for (lengths, frame) in [(&lengths4[..], v4), (&lengths6[..], v6)] {
        for drop in lengths {
            for ignore in lengths {
                check_ignore_beats_drop(&daemon, &mut wire, &frame, drop, ignore);
            }
        }
    }
}

fn check_ignore_beats_drop(
    daemon: &Daemon<'_>,
    wire: &mut couic_e2e::Wire,
    frame: &Frame,
    drop: &str,
    ignore: &str,
) {
    let api = daemon.api();
    api.add("drop", drop, None, 0);
    assert!(!wire.passes(frame), "drop {drop}");
    api.add("ignore", ignore, None, 0);
    assert!(wire.passes(frame), "ignore {ignore} behind drop {drop}");
    api.remove("drop", drop);
    assert!(wire.passes(frame), "ignore {ignore} alone");
    api.add("drop", drop, None, 0);
    assert!(wire.passes(frame), "drop {drop} behind ignore {ignore}");
    api.remove("ignore", ignore);
    assert!(!wire.passes(frame), "drop {drop}, ignore {ignore} gone");
    api.remove("drop", drop);
    assert!(wire.passes(frame), "nothing left of {drop} and {ignore}");
}

#[test]
fn ignore_passes_only_the_covered_sources() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    daemon.api().add("drop", "10.0.0.0/8", None, 0);
    daemon.api().add("ignore", "10.1.2.0/24", None, 0);
    daemon.api().add("drop", "10.1.2.3/32", None, 0);
    let frames = ["10.1.2.3", "10.1.2.255", "10.1.3.0", "10.1.1.255"].map(Frame::v4);
    assert_eq!(wire.arrivals(&frames), [1, 1, 0, 0]);
    daemon.api().add("drop", "2001:db8::/32", None, 0);
    daemon.api().add("ignore", "2001:db8:5::/64", None, 0);
    daemon.api().add("drop", "2001:db8:5::3/128", None, 0);
    let frames = [
        "2001:db8:5::3",
        "2001:db8:5::4",
        "2001:db8:5:1::",
        "2001:db8:4::",
    ]
    .map(Frame::v6);
    assert_eq!(wire.arrivals(&frames), [1, 1, 0, 0]);
}

/// The frame untagged, with every stack of one or two VLAN tags, with three and four; and all these within PPPoE and
/// one to four MPLS labels.
fn in_every_wrapping(source: &Frame) -> Vec<Frame> {
    let carried = [source.clone(), source.clone().pppoe()].into_iter();
    let carried = carried.chain((1..=4).map(|labels| source.clone().mpls(labels)));
    carried.flat_map(|frame| behind_tags(&frame)).collect()
}

fn behind_tags(source: &Frame) -> Vec<Frame> {
    let mut frames = vec![source.clone()];
    let kinds = [ETH_P_8021Q, ETH_P_8021AD, ETH_P_QINQ1];
    for outer in kinds {
        frames.push(source.clone().vlan(outer, 5));
        for inner in kinds {
            // Priority bits and a large id: the parser must skip the whole tag.
            let two = source.clone().vlan(outer, 0xeffe).vlan(inner, 6);
            frames.push(two.clone());
            // Every host strips tags with id 0.
            frames.push(two.clone().vlan(ETH_P_8021Q, 0));
            frames.push(two.vlan(ETH_P_8021Q, 0).vlan(ETH_P_8021AD, 0));
        }
    }
    frames
}

#[test]
fn vlan_pppoe_and_mpls_frames_are_filtered() {
    for mode in ["native", "generic"] {
        let Some(lab) = Lab::quiet() else { return };
        let daemon = lab.daemon().mode(mode).start();
        let mut wire = lab.wire();
        daemon.api().add("drop", "198.51.100.0/24", None, 0);
        daemon.api().add("ignore", "198.51.100.9/32", None, 0);
        daemon.api().add("drop", "2001:db8:7::/48", None, 0);
        daemon.api().add("ignore", "2001:db8:7::9/128", None, 0);
        for (frame, expected) in [
            (Frame::v4("198.51.100.7"), 0),
            (Frame::v4("198.51.100.9"), 1),
            (Frame::v4("198.51.101.7"), 1),
            (Frame::v6("2001:db8:7::7"), 0),
            (Frame::v6("2001:db8:7::9"), 1),
            (Frame::v6("2001:db8:8::7"), 1),
        ] {
            let frames = in_every_wrapping(&frame);
            let arrived = wire.arrivals(&frames);
            for (frame, count) in frames.iter().zip(arrived) {
                assert_eq!(count, expected, "{mode}: {frame:?}");
            }
        }
    }
}

#[test]
fn unparsed_frames_are_counted_by_kind() {
    for mode in ["native", "generic"] {
        let Some(lab) = Lab::quiet() else { return };
        let daemon = lab.daemon().mode(mode).start();
        let mut wire = lab.wire();
        let banned = Frame::v4("198.51.100.7");
        daemon.api().add("drop", "198.51.100.0/24", None, 0);
        let deep = (0..5).fold(banned.clone(), |frame, _| frame.vlan(ETH_P_8021Q, 0));
        let cut = Frame::raw(0x8847, &[0, 1, 0x60, 64]);
        let kinds = [
            ("mpls", banned.mpls(5), true),
            ("vlan", deep, false),
            ("arp", Frame::raw(0x0806, &[0; 28]), true),
            ("llc", Frame::raw(38, &[0x42, 0x42, 3]), true),
            ("pppoe", Frame::raw(0x8863, &[0x11, 9, 0, 0, 0, 0]), true),
            (
                "pppoe",
                Frame::raw(0x8864, &[0x11, 0, 0, 7, 0, 4, 0xc0, 0x21]),
                true,
            ),
            ("macsec", Frame::raw(0x88e5, &[0; 16]), true),
        ];
        let mut aborted = 0;
        for (kind, frame, passes) in kinds {
            let before = daemon.api().stats();
            let arrived = wire.arrivals(std::slice::from_ref(&frame));
            let after = daemon.api().stats();
            let rows = before.not_inspected.rows().into_iter();
            for ((name, old), (_, new)) in rows.zip(after.not_inspected.rows()) {
                // The wire's synchronization frames are of kind other.
                let expected = u64::from(name == kind);
                let counted = new.rx_packets - old.rx_packets;
                assert!(
                    name == "other" || counted == expected,
                    "{mode} {kind}: {counted} {name}"
                );
            }
            if kind == "mpls" {
                assert_eq!(arrived, [1], "{mode}: {frame:?}");
            }
            aborted += u64::from(!passes);
            let given_up = after.xdp.xdp_aborted.rx_packets;
            assert_eq!(given_up, aborted, "{mode} {kind}");
        }
        wire.arrivals(&[cut]);
        let given_up = daemon.api().stats().xdp.xdp_aborted.rx_packets;
        assert_eq!(
            given_up,
            aborted + 1,
            "{mode}: labels that the frame does not hold"
        );
        daemon.ctl_ok(&["panic", "on"]);
        let deep = (0..5).fold(Frame::v4("198.51.100.7"), |frame, _| {
            frame.vlan(ETH_P_8021Q, 0)
        });
        assert!(wire.passes(&deep), "{mode}: under the panic switch");
    }
}

/// The kernel keeps VLAN tags out of the frame with offload, and within it without.
#[test]
fn vlan_interfaces_are_filtered_with_and_without_offload() {
    for offload in ["on", "off"] {
        let Some(lab) = Lab::addressed() else { return };
        let probe = [
            "link", "add", "link", HOST_IFACE, "name", "v4", "type", "vlan", "id", "4",
        ];
        if !lab.host.output("ip", &probe).status.success() {
            println!("skipped: this kernel makes no VLAN interfaces (no module 8021q)");
            return;
        }
        for (netns, iface, address) in [
            (&lab.host, HOST_IFACE, "192.0.3.1/24"),
            (&lab.outside, OUTSIDE_IFACE, "192.0.3.2/24"),
        ] {
            netns.run("ethtool", &["-K", iface, "txvlan", offload]);
            netns.run(
                "ip",
                &[
                    "link", "add", "link", iface, "name", "v5", "type", "vlan", "id", "5",
                ],
            );
            netns.run("ip", &["addr", "add", address, "dev", "v5"]);
            netns.run("ip", &["link", "set", "v5", "up"]);
        }
        let daemon = lab.daemon().start();
        assert!(lab.ping("192.0.3.1"), "offload {offload}: no rule");
        daemon.api().add("drop", "192.0.3.2/32", None, 0);
        assert!(!lab.ping("192.0.3.1"), "offload {offload}: dropped");
        daemon.api().add("ignore", "192.0.3.0/24", None, 0);
        assert!(lab.ping("192.0.3.1"), "offload {offload}: ignored");
    }
}

#[test]
fn pings_follow_the_rules_in_every_mode() {
    for mode in ["native", "generic", "auto"] {
        let Some(lab) = Lab::addressed() else { return };
        let daemon = lab.daemon().mode(mode).start();
        for (host, outside) in [(HOST_V4, OUTSIDE_V4), (HOST_V6, OUTSIDE_V6)] {
            assert!(lab.ping(host), "{mode}: no rule");
            daemon.ctl_ok(&["drop", "add", outside]);
            assert!(!lab.ping(host), "{mode}: dropped");
            daemon.ctl_ok(&["ignore", "add", outside]);
            assert!(lab.ping(host), "{mode}: ignored");
            daemon.ctl_ok(&["ignore", "delete", outside]);
            assert!(!lab.ping(host), "{mode}: dropped again");
            daemon.ctl_ok(&["drop", "delete", outside]);
            assert!(lab.ping(host), "{mode}: no rule again");
        }
    }
}
