//! Attaching: modes, fallback, refusals.

use couic_common::XdpMode;
use couic_e2e::{AttachedBy, FOREIGN_NAME, Foreign, Frame, HOST_IFACE, Lab, OUTSIDE_IFACE};

#[test]
fn the_configured_mode_is_used_and_reported() {
    for (asked, expected) in [
        ("native", XdpMode::Native),
        ("generic", XdpMode::Generic),
        // veth supports native XDP.
        ("auto", XdpMode::Native),
    ] {
        let Some(lab) = Lab::quiet() else { return };
        let daemon = lab.daemon().mode(asked).start();
        let (status, health) = daemon.api().health();
        assert_eq!(status, 200, "{health:?}");
        let [iface] = &health.interfaces[..] else {
            panic!("{health:?}");
        };
        assert_eq!((iface.name.as_str(), iface.attached), (HOST_IFACE, true));
        assert_eq!(iface.mode, Some(expected), "{asked}");
        assert_eq!(lab.kernel_mode(HOST_IFACE), Some(expected), "{asked}");
    }
}

#[test]
fn the_default_mode_is_auto() {
    let Some(lab) = Lab::quiet() else { return };
    let _daemon = lab.daemon().start();
    assert_eq!(lab.kernel_mode(HOST_IFACE), Some(XdpMode::Native));
}

#[test]
fn auto_falls_back_to_generic_interface_by_interface() {
    let Some(lab) = Lab::quiet() else { return };
    // The loopback driver has no XDP support.
    let daemon = lab
        .daemon()
        .mode("auto")
        .ifaces(&[HOST_IFACE, "lo"])
        .start();
    let (_, health) = daemon.api().health();
    let modes: Vec<_> = health
        .interfaces
        .iter()
        .map(|i| (i.name.as_str(), i.mode))
        .collect();
    assert_eq!(
        modes,
        [
            (HOST_IFACE, Some(XdpMode::Native)),
            ("lo", Some(XdpMode::Generic))
        ]
    );
    assert_eq!(lab.kernel_mode("lo"), Some(XdpMode::Generic));
}

#[test]
fn native_is_refused_without_driver_support_and_nothing_stays_attached() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab.daemon().mode("native").ifaces(&[HOST_IFACE, "lo"]);
    let refusal = builder.try_start().expect_err("lo has no native XDP");
    assert!(!refusal.status.success());
    assert!(refusal.output.contains("lo"), "{}", refusal.output);
    assert_eq!(lab.kernel_mode(HOST_IFACE), None);
    assert_eq!(lab.kernel_mode("lo"), None);
}

#[test]
fn every_interface_is_filtered() {
    let Some(lab) = Lab::quiet() else { return };
    lab.join("eth1", "wire1");
    let daemon = lab.daemon().ifaces(&[HOST_IFACE, "eth1"]).start();
    daemon.api().add("drop", "198.51.100.7/32", Some("both"), 0);
    let frames = ["198.51.100.7", "198.51.100.8"].map(Frame::v4);
    assert_eq!(lab.wire().arrivals(&frames), [0, 1]);
    assert_eq!(lab.wire_between("eth1", "wire1").arrivals(&frames), [0, 1]);
    assert_eq!(daemon.api().tags("drop")["both"].rx_packets, 2);
}

#[test]
fn a_foreign_program_is_named_and_kept_and_nothing_is_partially_attached() {
    for by in [AttachedBy::Link, AttachedBy::Netlink] {
        for mode in ["native", "generic"] {
            let Some(lab) = Lab::quiet() else { return };
            lab.join("eth1", "wire1");
            let foreign = Foreign::attach(&lab.host, "eth1", by);
            let builder = lab.daemon().mode(mode).ifaces(&[HOST_IFACE, "eth1"]);
            let refusal = builder.try_start().expect_err("eth1 has a foreign program");
            let case = format!("{by:?}, {mode}: {}", refusal.output);
            assert!(!refusal.status.success(), "{case}");
            assert!(refusal.output.contains(FOREIGN_NAME), "{case}");
            assert!(refusal.output.contains("eth1"), "{case}");
            let way = "operation_mode = \"auto\" or \"tcx\"";
            assert!(refusal.output.contains(way), "{case}");
            assert_eq!(lab.kernel_mode(HOST_IFACE), None, "{case}");
            // Still theirs, still working.
            let shown = lab.host.run("ip", &["-d", "link", "show", "eth1"]);
            assert!(shown.contains(FOREIGN_NAME), "{case}\n{shown}");
            let mut wire = lab.wire_between("eth1", "wire1");
            assert!(wire.passes(&Frame::v4("198.51.100.7")), "{case}");
            drop(foreign);
        }
    }
}

#[test]
fn a_missing_interface_is_named_and_nothing_is_attached() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab.daemon().ifaces(&[HOST_IFACE, "nosuch7"]);
    let refusal = builder.try_start().expect_err("there is no nosuch7");
    assert!(!refusal.status.success());
    assert!(refusal.output.contains("nosuch7"), "{}", refusal.output);
    assert_eq!(lab.kernel_mode(HOST_IFACE), None);
}

#[test]
fn a_deleted_interface_makes_health_503_and_the_others_stay_filtered() {
    let Some(lab) = Lab::quiet() else { return };
    lab.join("eth1", "wire1");
    let daemon = lab.daemon().ifaces(&[HOST_IFACE, "eth1"]).start();
    assert_eq!(daemon.api().health().0, 200);
    lab.outside.run("ip", &["link", "del", OUTSIDE_IFACE]);
    let (health, _) = couic_e2e::until("health is 503", std::time::Duration::from_secs(60), || {
        let (status, health) = daemon.api().health();
        (status == 503).then_some(health)
    });
    let states: Vec<_> = health
        .interfaces
        .iter()
        .map(|i| (i.name.as_str(), i.attached))
        .collect();
    assert_eq!(states, [(HOST_IFACE, false), ("eth1", true)]);
    assert!(health.interfaces[0].problem.is_some(), "{health:?}");
    daemon.api().add("drop", "198.51.100.7/32", None, 0);
    let frames = ["198.51.100.7", "198.51.100.8"].map(Frame::v4);
    assert_eq!(lab.wire_between("eth1", "wire1").arrivals(&frames), [0, 1]);
}

#[test]
fn jumbo_frames_keep_native_mode() {
    let Some(lab) = Lab::quiet() else { return };
    let mtu = |netns: &couic_e2e::Netns, iface| {
        netns.run("ip", &["link", "set", iface, "mtu", "9000"]);
    };
    mtu(&lab.host, HOST_IFACE);
    mtu(&lab.outside, OUTSIDE_IFACE);
    let _daemon = lab.daemon().mode("native").start();
    assert_eq!(lab.kernel_mode(HOST_IFACE), Some(XdpMode::Native));
}
