//! Verdicts: dropped and passed frames.

mod carriers;

use couic_common::Policy;
use couic_e2e::{Daemon, Frame, HOST_V4, HOST_V6, Lab, OUTSIDE_V4, OUTSIDE_V6};

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

/// Programs on an IPv6 socket log an IPv4 host as `::ffff:198.51.100.7`.
#[test]
fn a_ban_of_a_mapped_address_drops_the_ipv4_host() {
    let Some(lab) = Lab::quiet() else { return };
    let set = "::ffff:203.0.113.0/120\n";
    let daemon = lab.daemon().set_file(Policy::Drop, "list", set).start();
    let mut wire = lab.wire();
    daemon.ctl_ok(&["drop", "add", "::ffff:198.51.100.7"]);
    daemon.api().add("drop", "::ffff:198.51.100.9/128", None, 0);
    let frames = [
        "198.51.100.7",
        "198.51.100.8",
        "198.51.100.9",
        "203.0.113.5",
        "203.0.114.5",
    ]
    .map(Frame::v4);
    assert_eq!(wire.arrivals(&frames), [0, 1, 0, 0, 1]);
    for ip in ["::ffff:198.51.100.7", "198.51.100.7", "::ffff:203.0.113.5"] {
        let told = daemon.ctl_ok(&["check", ip]);
        assert!(told.contains("is dropped"), "{told}");
    }
    daemon.ctl_ok(&["unban", "::ffff:198.51.100.7", "::ffff:198.51.100.9"]);
    assert_eq!(wire.arrivals(&frames), [1, 1, 1, 0, 1]);
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
