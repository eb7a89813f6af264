//! IP within VLAN tags, PPPoE and MPLS, and frames without an IP packet.

use couic_e2e::{ETH_P_8021AD, ETH_P_8021Q, ETH_P_QINQ1, Frame, HOST_IFACE, Lab, OUTSIDE_IFACE};

/// The frame untagged, with every stack of one or two VLAN tags, with three and four; and all these within PPPoE and
/// one to four MPLS labels.
fn in_every_wrapping(source: &Frame) -> Vec<Frame> {
    let carried = [source.clone(), source.clone().pppoe()].into_iter();
    let carried = carried.chain((1..=4).map(|labels| source.clone().mpls(labels)));
    carried.flat_map(|frame| behind_tags(&frame)).collect()
}

fn behind_tags(source: &Frame) -> Vec<Frame> {
    let mut frames = vec![source.clone()];
    // Priority tags (VLAN 0), which every host strips one after the other, whether or not it has VLAN interfaces.
    frames.extend(
        (1..=4).map(|tags| (0..tags).fold(source.clone(), |frame, _| frame.vlan(ETH_P_8021Q, 0))),
    );
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
