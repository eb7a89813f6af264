//! The lab itself, without a daemon: frames arrive if nothing filters them.

use couic_e2e::{
    AttachedBy, ETH_P_8021AD, ETH_P_8021Q, FOREIGN_NAME, Foreign, Frame, HOST_IFACE, HOST_V4,
    HOST_V6, Lab,
};

#[test]
fn unfiltered_frames_arrive_once_each() {
    let Some(lab) = Lab::quiet() else { return };
    let mut wire = lab.wire();
    let kinds = [
        Frame::v4("198.51.100.7"),
        Frame::v6("2001:db8:7::1"),
        Frame::v4("198.51.100.7").vlan(ETH_P_8021Q, 7),
        Frame::v6("2001:db8:7::1").vlan(ETH_P_8021Q, 7),
        Frame::v4("198.51.100.7")
            .vlan(ETH_P_8021AD, 7)
            .vlan(ETH_P_8021Q, 8),
        Frame::v4("198.51.100.7").padded(1400),
    ];
    assert_eq!(wire.arrivals(&kinds), [1; 6]);
    let many: Vec<Frame> = kinds.iter().cycle().take(1000).cloned().collect();
    assert_eq!(wire.arrivals(&many), [1; 1000]);
}

#[test]
fn both_ends_answer_pings() {
    let Some(lab) = Lab::addressed() else { return };
    assert!(lab.ping(HOST_V4));
    assert!(lab.ping(HOST_V6));
    assert!(!lab.ping("192.0.2.77"), "the address is not assigned");
}

#[test]
fn a_foreign_program_is_what_the_kernel_lists() {
    for by in [AttachedBy::Link, AttachedBy::Netlink] {
        let Some(lab) = Lab::quiet() else { return };
        let _foreign = Foreign::attach(&lab.host, HOST_IFACE, by);
        let shown = lab.host.run("ip", &["-d", "link", "show", HOST_IFACE]);
        assert!(shown.contains("prog/xdp"), "{by:?}: {shown}");
        assert!(
            shown.contains(FOREIGN_NAME) || shown.contains(" id "),
            "{shown}"
        );
        assert_eq!(lab.wire().arrivals(&[Frame::v4("198.51.100.7")]), [1]);
    }
}
