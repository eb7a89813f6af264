//! TCX: beside another XDP program, pinned and taken over like XDP, and mode changes between the two.

use std::time::Duration;

use couic_common::{HealthStatus, Policy, XdpMode};
use couic_e2e::{
    AttachedBy, BpfFs, Daemon, DaemonBuilder, FOREIGN_NAME, Foreign, Frame, HOST_IFACE, Lab,
    OUTSIDE_IFACE, Stream, detach_links, tcx_links, until,
};
use nix::sys::signal::Signal;

const BANNED: &str = "198.51.100.7";
const INNOCENT: &str = "203.0.113.9";
/// Enough bursts to be sure that frames flowed in the tested state.
const SOME: u64 = 40;
const PATIENCE: Duration = Duration::from_secs(60);

/// A lab with a bridge over the filtered interface, and the bridge's name, on which frames are received.
fn lab() -> Option<(Lab, String)> {
    let lab = Lab::quiet()?;
    let bridge = lab.bridge_over(HOST_IFACE);
    Some((lab, bridge))
}

fn banning<'lab>(lab: &'lab Lab, mode: &str) -> DaemonBuilder<'lab> {
    let builder = lab.daemon().mode(mode);
    builder.set_file(Policy::Drop, "list", "198.51.100.0/24\n2001:db8:7::/48\n")
}

/// Arrivals from a banned and an innocent source, for IPv4 and IPv6.
fn arrivals(lab: &Lab, bridge: &str) -> Vec<u32> {
    let v4 = [BANNED, INNOCENT].map(Frame::v4);
    let v6 = ["2001:db8:7::1", "2001:db8:8::1"].map(Frame::v6);
    lab.wire_between(bridge, OUTSIDE_IFACE)
        .arrivals(&[v4, v6].concat())
}

fn is_tcx(daemon: &Daemon<'_>) -> bool {
    let (_, health) = daemon.api().health();
    health.interfaces[0].mode == Some(XdpMode::Tcx)
}

#[test]
fn tcx_filters_and_counts_frames() {
    let Some((lab, bridge)) = lab() else { return };
    let daemon = banning(&lab, "tcx").start();
    assert_eq!(arrivals(&lab, &bridge), [0, 1, 0, 1], "{}", daemon.log());
    assert!(is_tcx(&daemon));
    assert_eq!(lab.kernel_mode(HOST_IFACE), None);
    assert_eq!(daemon.api().tags("drop")["list.couic"].rx_packets, 2);
    let (status, health) = daemon.api().health();
    assert_eq!((status, health.status), (200, HealthStatus::Ok));
    let note = health.interfaces[0].note.clone().unwrap_or_default();
    assert!(note.contains("as operation_mode says"), "{note}");
    let _daemon = daemon.ended_by(Signal::SIGTERM);
    assert_eq!(
        arrivals(&lab, &bridge),
        [1, 1, 1, 1],
        "it goes with the daemon"
    );
}

#[test]
fn auto_filters_beside_a_foreign_program_and_leaves_it_alone() {
    for by in [AttachedBy::Link, AttachedBy::Netlink] {
        let Some((lab, bridge)) = lab() else { return };
        let foreign = Foreign::attach(&lab.host, HOST_IFACE, by);
        let daemon = banning(&lab, "auto").start();
        assert!(is_tcx(&daemon), "{by:?}");
        assert_eq!(arrivals(&lab, &bridge), [0, 1, 0, 1], "{by:?}");
        let (_, health) = daemon.api().health();
        let note = health.interfaces[0].note.clone().unwrap_or_default();
        assert!(note.contains(FOREIGN_NAME), "{note}");
        let shown = lab.host.run("ip", &["-d", "link", "show", HOST_IFACE]);
        assert!(shown.contains(FOREIGN_NAME), "{by:?}\n{shown}");
        let _daemon = daemon.ended_by(Signal::SIGTERM);
        let shown = lab.host.run("ip", &["-d", "link", "show", HOST_IFACE]);
        assert!(shown.contains(FOREIGN_NAME), "{by:?}\n{shown}");
        drop(foreign);
    }
}

#[test]
fn no_frame_is_passed_or_dropped_wrongly_over_restarts_and_mode_changes() {
    let Some(((lab, bridge), fs)) = lab().zip(BpfFs::new()) else {
        return;
    };
    lab.join("eth1", "wire1");
    let second = lab.bridge_over("eth1");
    let both = [HOST_IFACE, "eth1"];
    let mut daemon = banning(&lab, "tcx").ifaces(&both).stays(Some(&fs)).start();
    let stream = Stream::between(
        &lab,
        (&bridge, OUTSIDE_IFACE),
        (&second, "wire1"),
        &Frame::v4(BANNED),
        &Frame::v4(INNOCENT),
    );
    stream.bursts(SOME);
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
        daemon = daemon.ended_by(signal);
        stream.bursts(SOME);
        daemon = daemon.restart();
        stream.bursts(SOME);
        let expected = "filtering on eth0 in mode tcx, without a gap";
        assert!(daemon.log().contains(expected), "{}", daemon.log());
    }
    // Generic, since a veth pair loses frames when a native program is attached.
    for mode in ["generic", "tcx", "generic", "tcx"] {
        let builder = daemon.ended_by(Signal::SIGTERM).builder();
        daemon = builder.mode(mode).ifaces(&both).start();
        stream.bursts(SOME);
        let links = tcx_links(&lab.host, HOST_IFACE).len();
        let by_xdp = lab.kernel_mode(HOST_IFACE).is_some();
        assert_eq!((links == 1, by_xdp), (mode == "tcx", mode == "generic"));
        assert_eq!(fs.names().len(), 4, "{:?}", fs.names());
    }
    let tally = stream.end();
    println!("{tally:?}");
    assert_eq!(
        (tally.dropped_arrived, tally.allowed_lost),
        (0, 0),
        "{tally:?}"
    );
}

#[test]
fn a_detached_link_is_reattached_within_seconds() {
    const LESS_THAN_A_MINUTE: Duration = Duration::from_secs(30);
    let Some((lab, bridge)) = lab() else { return };
    let daemon = banning(&lab, "tcx").start();
    for _ in 0..3 {
        assert_eq!(detach_links(&lab.host, HOST_IFACE), 1);
        until("there is one again", LESS_THAN_A_MINUTE, || {
            (tcx_links(&lab.host, HOST_IFACE).len() == 1).then_some(())
        });
    }
    until("health is well again", PATIENCE, || {
        (daemon.api().health().1.status == HealthStatus::Ok).then_some(())
    });
    assert_eq!(arrivals(&lab, &bridge), [0, 1, 0, 1]);
    let line = "filtering on eth0 in mode tcx again: our program had been detached from outside";
    assert!(daemon.log().contains(line), "{}", daemon.log());
}

#[test]
fn detach_removes_pinned_tcx_links() {
    let Some(((lab, bridge), fs)) = lab().zip(BpfFs::new()) else {
        return;
    };
    let daemon = banning(&lab, "tcx")
        .user("nobody", "nogroup")
        .stays(Some(&fs))
        .start();
    let daemon = daemon.ended_by(Signal::SIGTERM);
    assert_eq!(arrivals(&lab, &bridge), [0, 1, 0, 1], "it stays");
    let kept = fs.names();
    assert!(kept.iter().any(|name| name.contains("/tcx")), "{kept:?}");
    let (code, output) = daemon.detach();
    assert_eq!(
        (code, output.as_str()),
        (0, "no longer filtering on eth0\n")
    );
    assert_eq!(arrivals(&lab, &bridge), [1; 4]);
    assert_eq!(fs.names(), [""; 0], "nothing is left behind");
}

#[test]
fn two_daemons_do_not_share_an_interface_by_tcx() {
    let Some((lab, _)) = lab() else { return };
    let first = banning(&lab, "tcx").start();
    for mode in ["auto", "native", "tcx"] {
        let refusal = lab.daemon().mode(mode).try_start();
        let output = refusal.expect_err("the interface is taken").output;
        assert!(output.contains("of another Couic (id "), "{mode} {output}");
    }
    assert!(is_tcx(&first));
    assert_eq!(tcx_links(&lab.host, HOST_IFACE).len(), 1);
    assert_eq!(lab.kernel_mode(HOST_IFACE), None);
}

#[test]
fn a_recreated_or_renamed_interface_is_filtered_again() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = banning(&lab, "tcx").ifaces(&[HOST_IFACE, "wan*"]).start();
    let links = |iface: &str, wanted: usize| {
        until("it has its links", PATIENCE, || {
            (tcx_links(&lab.host, iface).len() == wanted).then_some(())
        });
    };
    lab.outside.run("ip", &["link", "del", OUTSIDE_IFACE]);
    lab.join(HOST_IFACE, OUTSIDE_IFACE);
    links(HOST_IFACE, 1);
    let rename = |from: &str, to: &str| {
        lab.host
            .run("ip", &["link", "set", from, "down", "name", to]);
        lab.host.run("ip", &["link", "set", to, "up"]);
    };
    rename(HOST_IFACE, "wan7");
    links("wan7", 1);
    rename("wan7", "lan0");
    links("lan0", 0);
    rename("lan0", HOST_IFACE);
    links(HOST_IFACE, 1);
    until("health is well", PATIENCE, || {
        let (_, health) = daemon.api().health();
        (health.interfaces.len() == 1 && health.interfaces[0].attached).then_some(())
    });
}
