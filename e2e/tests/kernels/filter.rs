//! The effect of rules on frames: one start, natively attached, as an unprivileged user.

use std::time::Duration;

use couic_common::XdpMode;
use couic_e2e::{
    Daemon, ETH_P_8021AD, ETH_P_8021Q, Frame, HOST_IFACE, Lab, OUTSIDE_IFACE, Wire, unix_now, until,
};
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn rules_counters_deadlines_panic_and_mtu() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab.daemon().user("nobody", "nogroup").mode("native");
    let daemon = builder.start();
    let mut wire = lab.wire();
    assert_eq!(lab.kernel_mode(HOST_IFACE), Some(XdpMode::Native));
    drops_and_counts(&daemon, &mut wire);
    ignore_beats_drop(&daemon, &mut wire);
    rules_of_all_lengths(&daemon, &mut wire);
    a_rule_ends_in_time(&daemon, &mut wire);
    panic_lets_everything_pass(&daemon, &mut wire);
    the_mtu_changes(&lab, &daemon);
    let (status, health) = daemon.api().health();
    assert_eq!(status, 200, "{health:?}");
    let daemon = daemon.ended_by(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(lab.kernel_mode(HOST_IFACE), None, "{}", daemon.output());
}

/// IPv4 and IPv6, untagged and with VLAN tags: only banned frames are dropped, and counted under the rule's tag with
/// all their bytes.
fn drops_and_counts(daemon: &Daemon<'_>, wire: &mut Wire) {
    let api = daemon.api();
    api.add("drop", "198.51.100.7/32", Some("v4"), 0);
    api.add("drop", "2001:db8:7::/48", Some("v6"), 0);
    let (v4, v6) = (Frame::v4("198.51.100.7"), Frame::v6("2001:db8:7::9"));
    let dropped = [
        v4.clone(),
        v6.clone(),
        v4.clone().vlan(ETH_P_8021Q, 5),
        v6.clone().vlan(ETH_P_8021Q, 5),
        v4.vlan(ETH_P_8021AD, 5).vlan(ETH_P_8021Q, 6),
        v6.padded(1000),
    ];
    assert_eq!(wire.arrivals(&dropped), [0; 6]);
    let innocent = [
        Frame::v4("198.51.100.8"),
        Frame::v6("2001:db8:8::9"),
        Frame::v4("198.51.100.6").vlan(ETH_P_8021Q, 5),
    ];
    assert_eq!(wire.arrivals(&innocent), [1; 3]);
    let (stats, tags) = (api.stats().xdp, api.tags("drop"));
    let bytes: u64 = dropped.iter().map(Frame::len).sum();
    assert_eq!(
        (stats.xdp_drop.rx_packets, stats.xdp_drop.rx_bytes),
        (6, bytes)
    );
    assert_eq!((tags["v4"].rx_packets, tags["v6"].rx_packets), (3, 3));
    assert_eq!(tags["v4"].rx_bytes + tags["v6"].rx_bytes, bytes);
    assert_eq!(stats.xdp_aborted.rx_packets, 0);
    let passed = u64::try_from(innocent.len()).expect("small") + wire.syncs();
    assert_eq!(stats.xdp_pass.rx_packets, passed);
}

fn ignore_beats_drop(daemon: &Daemon<'_>, wire: &mut Wire) {
    let api = daemon.api();
    let frames = [Frame::v4("198.51.100.7"), Frame::v6("2001:db8:7::9")];
    for cidr in ["198.51.0.0/16", "2001:db8::/32"] {
        api.add("ignore", cidr, Some("friends"), 0);
    }
    assert_eq!(wire.arrivals(&frames), [1, 1]);
    assert_eq!(api.tags("ignore")["friends"].rx_packets, 2);
    for cidr in ["198.51.0.0/16", "2001:db8::/32"] {
        api.remove("ignore", cidr);
    }
    assert_eq!(wire.arrivals(&frames), [0, 0]);
    api.remove("drop", "198.51.100.7/32");
    api.remove("drop", "2001:db8:7::/48");
    assert_eq!(wire.arrivals(&frames), [1, 1], "deleted");
}

/// Each path through the tables: hosts, lines, wide and short prefixes.
fn rules_of_all_lengths(daemon: &Daemon<'_>, wire: &mut Wire) {
    let api = daemon.api();
    let rules = [4, 8, 15, 16, 17, 22, 24, 31, 32].map(|len| format!("203.0.113.0/{len}"));
    let rules6 = [5, 16, 17, 32, 33, 48, 64, 96, 127, 128].map(|len| format!("2001:db8:5::/{len}"));
    let (v4, v6) = (Frame::v4("203.0.113.0"), Frame::v6("2001:db8:5::"));
    for (rule, frame) in rules
        .iter()
        .map(|r| (r, &v4))
        .chain(rules6.iter().map(|r| (r, &v6)))
    {
        // Without host bits.
        api.add("drop", rule, None, 0);
        assert!(!wire.passes(frame), "{rule}");
        api.remove("drop", rule);
        assert!(wire.passes(frame), "{rule} is gone");
    }
}

fn a_rule_ends_in_time(daemon: &Daemon<'_>, wire: &mut Wire) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "Unix seconds"
    )]
    let deadline = unix_now().ceil() as u64 + 3;
    daemon
        .api()
        .add("drop", "192.0.2.99/32", Some("brief"), deadline);
    #[expect(clippy::cast_precision_loss, reason = "Unix seconds")]
    let deadline = deadline as f64;
    until("the rule ends", SOON, || {
        let arrived = wire.passes(&Frame::v4("192.0.2.99"));
        let early = deadline - unix_now();
        assert!(!arrived || early <= 0.0, "it ended {early:.3} s early");
        arrived.then_some(())
    });
}

fn panic_lets_everything_pass(daemon: &Daemon<'_>, wire: &mut Wire) {
    let api = daemon.api();
    let switch = |on: bool| {
        let body = json!({"on": on, "reason": "a test"}).to_string();
        let _ = api.request("PUT", "/v1/panic", Some(&body)).expect(200);
    };
    api.add("drop", "198.51.100.0/24", None, 0);
    api.add("drop", "2001:db8:7::/48", None, 0);
    let frames = [Frame::v4("198.51.100.7"), Frame::v6("2001:db8:7::9")];
    assert_eq!(wire.arrivals(&frames), [0, 0]);
    switch(true);
    assert_eq!(wire.arrivals(&frames), [1, 1]);
    switch(false);
    assert_eq!(wire.arrivals(&frames), [0, 0]);
}

/// A smaller MTU, and one that needs several buffers per frame, if the kernel allows that for the loaded program.
fn the_mtu_changes(lab: &Lab, daemon: &Daemon<'_>) {
    for (mtu, payload) in [("1300", 1200), ("9000", 8000)] {
        let args = ["link", "set", HOST_IFACE, "mtu", mtu];
        let outside = ["link", "set", OUTSIDE_IFACE, "mtu", mtu];
        let done = [
            lab.host.output("ip", &args),
            lab.outside.output("ip", &outside),
        ];
        if let Some(refused) = done.iter().find(|output| !output.status.success()) {
            assert_eq!(mtu, "9000", "{refused:?}");
            // The program is loaded without frags support: the kernel refuses larger frames.
            println!(
                "this kernel refuses an MTU of {mtu} while a program without frags is attached"
            );
            continue;
        }
        let frames =
            ["198.51.100.7", "203.0.113.7"].map(|source| Frame::v4(source).padded(payload));
        assert_eq!(lab.wire().arrivals(&frames), [0, 1], "MTU {mtu}");
        assert_eq!(lab.kernel_mode(HOST_IFACE), Some(XdpMode::Native));
    }
    assert_eq!(daemon.api().stats().xdp.xdp_aborted.rx_packets, 0);
}
