//! The checks of an interface, over facts made up for the tests.

use super::{super::CheckState, *};

fn health(attached: bool, mode: Option<XdpMode>) -> InterfaceHealth {
    InterfaceHealth {
        name: "eth0".into(),
        attached,
        mode,
        problem: (!attached).then(|| "busy".into()),
        note: None,
    }
}

fn known(health: Option<&InterfaceHealth>) -> InterfaceFacts<'_> {
    InterfaceFacts {
        name: "eth0",
        health,
        attached: None,
        layer: LinkLayer::Ethernet,
        driver: Some("virtio_net".into()),
        native: Some(true),
        offloads: None,
    }
}

const FOREIGN: Option<OnInterface> = Some(OnInterface {
    id: 7,
    mode: XdpMode::Native,
});

#[test]
fn a_missing_interface_may_be_in_another_namespace() {
    let elsewhere = [health(true, None)];
    assert_eq!(missing("eth*", &elsewhere).state, CheckState::Skip);
    assert_eq!(missing("wan0", &elsewhere).state, CheckState::Fail);
    assert_eq!(
        missing("eth0", &[health(false, None)]).state,
        CheckState::Fail
    );
}

#[test]
fn names_and_patterns_are_expanded() {
    assert_eq!(expand("lo"), ["lo"]);
    assert!(expand("no-such*").is_empty());
}

#[test]
fn generic_xdp_is_a_warning_if_the_driver_has_native() {
    let native = health(true, Some(XdpMode::Native));
    assert_eq!(program(&known(Some(&native))).state, CheckState::Ok);
    let generic = health(true, Some(XdpMode::Generic));
    let check = program(&known(Some(&generic)));
    assert_eq!(check.state, CheckState::Warn);
    assert!(check.advice.unwrap().contains("operation_mode"));
    let lro = Offloads {
        rxvlan: false,
        lro: true,
    };
    let merged = InterfaceFacts {
        offloads: Some(lro),
        ..known(Some(&generic))
    };
    assert!(
        program(&merged)
            .advice
            .unwrap()
            .contains("ethtool -K eth0 lro off")
    );
    let cannot = InterfaceFacts {
        native: Some(false),
        ..known(Some(&generic))
    };
    assert!(
        program(&cannot)
            .found
            .contains("virtio_net has no native XDP")
    );
}

#[test]
fn tcx_is_a_warning_only_with_ethernet_headers() {
    let noted = |mode| InterfaceHealth {
        note: Some("by a way that has a reason".into()),
        ..health(true, Some(mode))
    };
    let tcx = noted(XdpMode::Tcx);
    let here = known(Some(&tcx));
    let check = program(&here);
    assert_eq!(check.state, CheckState::Warn);
    assert!(check.found.contains("that has a reason"), "{check:?}");
    assert!(check.advice.unwrap().contains("operation_mode"));
    let cannot = InterfaceFacts {
        native: Some(false),
        ..known(Some(&tcx))
    };
    assert_eq!(program(&cannot).state, CheckState::Ok, "nothing costs less");
    let behind = InterfaceFacts {
        attached: FOREIGN,
        ..known(Some(&tcx))
    };
    assert!(program(&behind).advice.unwrap().contains("show id 7"));
    for mode in [XdpMode::Tcx, XdpMode::Generic] {
        let noted = noted(mode);
        let tunnel = InterfaceFacts {
            layer: LinkLayer::Ip { generic: true },
            ..known(Some(&noted))
        };
        let check = program(&tunnel);
        assert_eq!(check.state, CheckState::Ok);
        assert!(check.found.contains("that has a reason"), "{check:?}");
    }
    let unknown = health(true, None);
    assert_eq!(program(&known(Some(&unknown))).state, CheckState::Warn);
}

#[test]
fn a_foreign_program_is_named() {
    let not = health(false, None);
    assert!(program(&known(Some(&not))).found.contains("busy"));
    let foreign = InterfaceFacts {
        attached: FOREIGN,
        ..known(Some(&not))
    };
    let check = program(&foreign);
    assert_eq!(check.state, CheckState::Fail);
    assert!(
        check.found.contains("another XDP program, 7") && check.advice.unwrap().contains("xdp off")
    );
    assert_eq!(program(&known(None)).state, CheckState::Fail);
    let kept = InterfaceFacts {
        attached: FOREIGN,
        ..known(None)
    };
    assert_eq!(program(&kept).state, CheckState::Warn);
}

#[test]
fn offloads_by_their_effect_on_frames() {
    let native = health(true, Some(XdpMode::Native));
    let with = |rxvlan, lro| {
        let offloads_ = Some(Offloads { rxvlan, lro });
        offloads(&InterfaceFacts {
            offloads: offloads_,
            ..known(Some(&native))
        })
        .unwrap()
    };
    assert_eq!(with(false, false).state, CheckState::Ok);
    assert!(with(true, false).found.contains("VLAN"));
    assert_eq!(with(true, true).state, CheckState::Warn);
    assert_eq!(offloads(&known(None)), None);
}
