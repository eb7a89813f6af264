//! The modes in which an interface can be filtered, by `operation_mode`, its link layer, and the kernel's features.
//!
//! | | Ethernet | IP, visible to generic XDP | IP, not visible to generic XDP | anything else |
//! |---|---|---|---|---|
//! | `auto` | native, generic, tcx | tcx, generic | tcx | - |
//! | `native`, `offloaded` | that | - | - | - |
//! | `generic` | generic | generic | - | - |
//! | `tcx` | tcx | tcx | tcx | - |
//!
//! Without an Ethernet header TCX comes first: there the kernel passes the offset of the IP header.

use couic_common::XdpMode::{self, Generic, Native, Offloaded, Tcx};

use super::Interface;
use couic_firewall::dataplane::{AttachError, OperationMode, Role};
use couic_netlink::LinkLayer;

/// The modes to try on an interface, in this order; never empty.
pub(super) fn candidate_modes(
    mode: OperationMode,
    interface: &Interface,
    has_tcx: bool,
) -> Result<&'static [XdpMode], AttachError> {
    use LinkLayer::{Ethernet, Ip, Other};
    let Interface { name, layer, .. } = interface;
    let (name, layer) = (name.clone(), *layer);
    match (mode, layer) {
        (_, Other(_)) => Err(AttachError::Layer { name, layer }),
        (OperationMode::Auto, Ethernet) if has_tcx => Ok(&[Native, Generic, Tcx]),
        (OperationMode::Auto, Ethernet) => Ok(&[Native, Generic]),
        (OperationMode::Auto, Ip { generic: true }) if has_tcx => Ok(&[Tcx, Generic]),
        (OperationMode::Auto, Ip { generic: true }) => Ok(&[Generic]),
        (OperationMode::Auto, Ip { generic: false }) if has_tcx => Ok(&[Tcx]),
        (OperationMode::Tcx, _) if has_tcx => Ok(&[Tcx]),
        (OperationMode::Auto | OperationMode::Tcx, _) => Err(AttachError::NoTcx { name, layer }),
        (OperationMode::Generic, Ethernet | Ip { generic: true }) => Ok(&[Generic]),
        (OperationMode::Native, Ethernet) => Ok(&[Native]),
        (OperationMode::Offloaded, Ethernet) => Ok(&[Offloaded]),
        (mode, Ip { generic }) => Err(AttachError::NoHeader {
            name,
            mode,
            auto: has_tcx || generic,
            tcx: has_tcx,
        }),
    }
}

/// The program for a mode and a link layer.
pub(super) const fn role(mode: XdpMode, layer: LinkLayer) -> Role {
    match (mode, layer) {
        (Tcx, _) => Role::Tcx,
        (Native | Generic | Offloaded, LinkLayer::Ip { .. }) => Role::Ip,
        (Native | Generic | Offloaded, _) => Role::Ethernet,
    }
}

/// Why an interface is filtered in an unusual mode, and at what cost.
pub(super) fn note(
    asked: OperationMode,
    mode: XdpMode,
    layer: LinkLayer,
    foreign: Option<String>,
) -> Option<String> {
    const COST: &str = "a dropped packet costs two to three times what it does in the driver";
    let link = matches!(layer, LinkLayer::Ip { .. });
    let why = match (mode, foreign) {
        (Tcx, _) if link => "by TCX, since the link has no Ethernet header".to_owned(),
        (Generic, _) if link => {
            "by generic XDP from the IP header on, since the link has no Ethernet header".to_owned()
        }
        (Tcx, _) if asked == OperationMode::Tcx => "by TCX, as operation_mode says".to_owned(),
        (Tcx, Some(theirs)) => format!("by TCX, behind the XDP program {theirs}, which is not Couic's"),
        (Tcx, None) => "by TCX, since XDP was occupied or refused when it was attached; to change to XDP without a gap, set operation_mode = \"native\" or \"generic\" and restart couic".to_owned(),
        _ => return None,
    };
    Some(format!("{why}: {COST}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: LinkLayer = LinkLayer::Ip { generic: true };
    const TUNNEL: LinkLayer = LinkLayer::Ip { generic: false };

    fn interface(layer: LinkLayer) -> Interface {
        Interface {
            index: 7,
            name: "if7".to_owned(),
            loopback: false,
            layer,
            xdp: None,
        }
    }

    #[test]
    fn modes_by_configuration_and_link_layer() {
        use OperationMode as Mode;
        let tried =
            |mode, layer, tcx| candidate_modes(mode, &interface(layer), tcx).unwrap_or_default();
        let cases: [(Mode, LinkLayer, &[XdpMode], &[XdpMode]); 11] = [
            (
                Mode::Auto,
                LinkLayer::Ethernet,
                &[Native, Generic],
                &[Native, Generic, Tcx],
            ),
            (Mode::Auto, IP, &[Generic], &[Tcx, Generic]),
            (Mode::Auto, TUNNEL, &[], &[Tcx]),
            (Mode::Native, LinkLayer::Ethernet, &[Native], &[Native]),
            (Mode::Native, IP, &[], &[]),
            (Mode::Offloaded, IP, &[], &[]),
            (Mode::Generic, LinkLayer::Ethernet, &[Generic], &[Generic]),
            (Mode::Generic, IP, &[Generic], &[Generic]),
            (Mode::Generic, TUNNEL, &[], &[]),
            (Mode::Tcx, LinkLayer::Ethernet, &[], &[Tcx]),
            (Mode::Tcx, TUNNEL, &[], &[Tcx]),
        ];
        for (mode, layer, old, new) in cases {
            assert_eq!(tried(mode, layer, false), old, "{mode} {layer:?}");
            assert_eq!(tried(mode, layer, true), new, "{mode} {layer:?}");
        }
        for mode in [Mode::Auto, Mode::Native, Mode::Generic, Mode::Tcx] {
            assert_eq!(tried(mode, LinkLayer::Other(280), true), [], "{mode}");
        }
    }

    #[test]
    fn a_refusal_says_which_modes_work_here() {
        use OperationMode as Mode;
        let told = |mode, layer, tcx| {
            let refused = candidate_modes(mode, &interface(layer), tcx).unwrap_err();
            refused.to_string()
        };
        let can = told(Mode::Auto, LinkLayer::Other(280), true);
        assert!(can.contains("CAN (link type 280)"), "{can}");
        let native = told(Mode::Native, IP, true);
        assert!(
            native.ends_with("set operation_mode = \"auto\" or \"tcx\""),
            "{native}"
        );
        let old = told(Mode::Native, IP, false);
        assert!(old.ends_with("set operation_mode = \"auto\""), "{old}");
        for mode in [Mode::Auto, Mode::Native, Mode::Generic, Mode::Tcx] {
            let old = told(mode, TUNNEL, false);
            assert!(old.contains("needs Linux 6.6"), "{mode} {old}");
        }
        let old = told(Mode::Tcx, IP, false);
        assert!(old.contains("\"auto\" or \"generic\""), "{old}");
        let old = told(Mode::Tcx, LinkLayer::Ethernet, false);
        assert!(
            old.contains("in mode tcx") && old.contains("needs Linux 6.6"),
            "{old}"
        );
    }

    #[test]
    fn the_program_is_the_one_for_the_link() {
        for (mode, layer, expected) in [
            (Native, LinkLayer::Ethernet, Role::Ethernet),
            (Generic, LinkLayer::Ethernet, Role::Ethernet),
            (Generic, IP, Role::Ip),
            (Tcx, IP, Role::Tcx),
            (Tcx, LinkLayer::Ethernet, Role::Tcx),
        ] {
            assert_eq!(role(mode, layer), expected, "{mode:?} {layer:?}");
        }
    }

    #[test]
    fn a_note_gives_reason_and_cost() {
        use OperationMode as Mode;
        let of = |asked, mode, layer, foreign: Option<&str>| {
            note(asked, mode, layer, foreign.map(str::to_owned)).unwrap_or_default()
        };
        assert_eq!(of(Mode::Auto, Native, LinkLayer::Ethernet, None), "");
        assert_eq!(of(Mode::Auto, Generic, LinkLayer::Ethernet, None), "");
        assert!(of(Mode::Auto, Generic, IP, None).contains("no Ethernet header"));
        assert!(of(Mode::Auto, Tcx, IP, None).contains("no Ethernet header"));
        let beside = of(Mode::Auto, Tcx, LinkLayer::Ethernet, Some("\"x\" (id 7)"));
        assert!(
            beside.contains("behind the XDP program \"x\" (id 7)"),
            "{beside}"
        );
        let asked = of(Mode::Tcx, Tcx, LinkLayer::Ethernet, Some("x"));
        assert!(asked.contains("as operation_mode says"), "{asked}");
        let once = of(Mode::Auto, Tcx, LinkLayer::Ethernet, None);
        assert!(
            once.contains("\"native\" or") && once.contains("two to three"),
            "{once}"
        );
    }
}
