//! Links whose packets start with the IP header, and links without IP packets.

use std::time::Duration;

use couic_common::{HealthStatus, Policy, XdpMode};
use couic_e2e::{Daemon, HOST_IFACE, LINK_CAN, LINK_NONE, Lab, Tun, tcx_links, until};

const TUN: &str = "tun0";
/// Longer than two of the attacher's periodic checks, one per minute.
const PATIENCE: Duration = Duration::from_secs(150);

fn lab() -> Option<(Lab, Tun)> {
    let lab = Lab::quiet()?;
    let tun = Tun::new(&lab.host, TUN)?;
    Some((lab, tun))
}

/// The output of a refused start; empty if it succeeds.
fn refusal(lab: &Lab, mode: &str) -> String {
    let builder = lab.daemon().mode(mode).ifaces(&[TUN]);
    let refusal = builder.try_start().err();
    refusal.map(|refusal| refusal.output).unwrap_or_default()
}

#[test]
fn packets_of_a_tun_device_are_filtered_by_their_ip_header() {
    for (mode, expected) in [
        ("auto", XdpMode::Tcx),
        ("tcx", XdpMode::Tcx),
        ("generic", XdpMode::Generic),
    ] {
        let Some((lab, mut tun)) = lab() else { return };
        let set = "203.0.113.0/24\n8.8.0.0/16\n2001:db8:7::/48\n";
        let builder = lab.daemon().mode(mode).ifaces(&[TUN]);
        let daemon = builder.set_file(Policy::Drop, "list", set).start();
        let (_, health) = daemon.api().health();
        let [state] = &health.interfaces[..] else {
            panic!("{health:?}");
        };
        assert_eq!(
            (state.mode, health.status),
            (Some(expected), HealthStatus::Ok)
        );
        let note = state.note.as_deref().unwrap_or_default();
        assert!(note.contains("no Ethernet header"), "{mode} {note}");
        let banned = [
            "203.0.113.5",
            "8.8.1.2",
            "2001:db8:7::1",
            "2001:db8:7:ffff::",
        ];
        assert_eq!(tun.answers(&banned), [false; 4], "{mode}");
        // Parsed as an Ethernet header, the upper half of these would be an EtherType: IPv4, IPv6, three VLAN tags.
        let passing = [
            "8.0.1.2",
            "134.221.5.6",
            "129.0.0.1",
            "136.168.1.1",
            "145.0.0.1",
            "203.0.112.255",
            "2001:db8:8::1",
            "2001:db8:6:ffff::",
        ];
        assert_eq!(tun.answers(&passing), [true; 8], "{mode}");
        let stats = daemon.api().tags("drop");
        assert_eq!(stats["list.couic"].rx_packets, 4, "{mode} {stats:?}");
        daemon.api().add("ignore", "203.0.113.5/32", None, 0);
        assert_eq!(tun.answers(&["203.0.113.5", "203.0.113.6"]), [true, false]);
        let output = daemon.ctl_ok(&["health"]);
        assert!(
            output.contains(&format!("Note: {TUN} is filtered by")),
            "{output}"
        );
    }
}

#[test]
fn modes_that_need_an_ethernet_header_are_refused_and_the_others_named() {
    let Some((lab, mut tun)) = lab() else { return };
    for mode in ["native", "offloaded"] {
        let output = refusal(&lab, mode);
        assert!(
            output.contains("interface tun0 cannot be filtered in mode"),
            "{output}"
        );
        assert!(
            output.contains("operation_mode = \"auto\" or \"tcx\""),
            "{output}"
        );
    }
    assert_eq!(lab.kernel_mode(TUN), None);
    assert!(tcx_links(&lab.host, TUN).is_empty());
    assert_eq!(tun.answers(&["203.0.113.5"]), [true]);
}

fn retype(lab: &Lab, tun: &Tun, link_type: u16) {
    lab.host.run("ip", &["link", "set", TUN, "down"]);
    tun.set_type(link_type);
    lab.host.run("ip", &["link", "set", TUN, "up"]);
}

#[test]
fn a_link_type_without_ip_packets_is_refused_by_name() {
    let Some((lab, tun)) = lab() else { return };
    retype(&lab, &tun, LINK_CAN);
    for mode in ["auto", "native", "generic", "tcx"] {
        let output = refusal(&lab, mode);
        assert!(output.contains("interface tun0"), "{output}");
        assert!(output.contains("CAN (link type 280)"), "{output}");
    }
    assert_eq!(lab.kernel_mode(TUN), None);
    assert!(tcx_links(&lab.host, TUN).is_empty());
}

#[test]
fn an_unsupported_link_that_matches_a_pattern_is_filtered_once_supported() {
    let Some((lab, tun)) = lab() else { return };
    retype(&lab, &tun, LINK_CAN);
    let daemon = lab
        .daemon()
        .mode("auto")
        .ifaces(&[HOST_IFACE, "tun*"])
        .start();
    let left_alone = |daemon: &Daemon<'_>| {
        until("it is left alone and named", PATIENCE, || {
            let (status, health) = daemon.api().health();
            let named = health.filter_problems.first();
            let named = named.is_some_and(|p| p.starts_with("interface tun0 matches tun* "));
            let alone = tcx_links(&lab.host, TUN).is_empty() && health.interfaces.len() == 1;
            (status == 200 && health.status == HealthStatus::Degraded && named && alone)
                .then_some(())
        });
    };
    left_alone(&daemon);
    for _ in 0..2 {
        retype(&lab, &tun, LINK_NONE);
        until("it is filtered", PATIENCE, || {
            let (_, health) = daemon.api().health();
            (health.status == HealthStatus::Ok && health.interfaces.len() == 2).then_some(())
        });
        assert_eq!(tcx_links(&lab.host, TUN).len(), 1);
        retype(&lab, &tun, LINK_CAN);
        left_alone(&daemon);
    }
}
