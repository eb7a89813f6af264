//! Real devices of every kind found on servers: each is filtered according to its link type, or reported with the
//! reason.
//!
//! One daemon with two patterns: `l2*` have an Ethernet header, `l3*` do not. Each device has a banned and an innocent
//! neighbour of each family. The underlay is not filtered, so only the device's own program can drop a packet.

mod devices;
mod setup;

use std::time::Duration;

use couic_common::{Health, XdpMode};
use couic_e2e::{Daemon, Lab, until};
use devices::{Device, Links};

const SOON: Duration = Duration::from_secs(30);

/// How a device is filtered on this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// XDP, in the driver or not.
    Xdp,
    Tcx,
    Generic,
    /// Unsupported: there is no TCX, and generic XDP sees the tunnel's outer header.
    Refused,
}

impl Expected {
    fn of(device: &Device, has_tcx: bool) -> Self {
        match (
            device.ethernet(),
            device.outer_header_first(crate::release()),
        ) {
            (true, _) => Self::Xdp,
            (false, _) if has_tcx => Self::Tcx,
            (false, true) => Self::Refused,
            (false, false) => Self::Generic,
        }
    }

    fn fits(self, mode: Option<XdpMode>) -> bool {
        match self {
            Self::Xdp => matches!(mode, Some(XdpMode::Native | XdpMode::Generic)),
            Self::Tcx => mode == Some(XdpMode::Tcx),
            Self::Generic => mode == Some(XdpMode::Generic),
            Self::Refused => mode.is_none(),
        }
    }
}

#[test]
fn every_kind_of_link_is_filtered_or_reported() {
    let Some(lab) = Lab::addressed() else { return };
    let links = Links::make(&lab);
    if links.all().is_empty() {
        println!("skipped: this kernel makes none of the devices");
        return;
    }
    for device in links.all() {
        for host in device.hosts() {
            until(&format!("{device:?} carries packets"), SOON, || {
                lab.ping_from(&host.here, Some(&host.banned)).then_some(())
            });
        }
    }
    let daemon = lab.daemon().ifaces(&["l2*", "l3*"]).start();
    let (status, health) = daemon.api().health();
    let has_tcx = health.missing_features.iter().all(|f| !f.contains("TCX"));
    println!("devices: {:?}, TCX: {has_tcx}", links.all());
    let mut all = true;
    for device in links.all() {
        let expected = Expected::of(device, has_tcx);
        all &= expected != Expected::Refused;
        check(&lab, &daemon, device, &health, expected);
    }
    assert_eq!(status, if all { 200 } else { 503 }, "{health:?}");
}

fn check(lab: &Lab, daemon: &Daemon<'_>, device: &Device, health: &Health, expected: Expected) {
    let name = device.name();
    let state = health.interfaces.iter().find(|state| state.name == name);
    let mode = state.and_then(|state| state.mode);
    assert!(
        expected.fits(mode),
        "{name}: {mode:?}, wanted {expected:?}: {health:?}"
    );
    if expected == Expected::Refused {
        let problem = state.and_then(|state| state.problem.as_deref());
        let problem = problem.unwrap_or_default();
        assert!(problem.contains("needs Linux 6.6"), "{name}: {problem}");
        return;
    }
    for host in device.hosts() {
        let prefix = if host.banned.contains(':') { 128 } else { 32 };
        let rule = format!("{}/{prefix}", host.banned);
        daemon.api().add("drop", &rule, Some(name), 0);
        let before = daemon.api().tags("drop");
        assert!(
            !lab.ping_from(&host.here, Some(&host.banned)),
            "{name} {rule}"
        );
        let after = daemon.api().tags("drop");
        assert!(
            after[name].rx_packets > before[name].rx_packets,
            "{name} {rule}: {after:?}"
        );
        assert!(
            lab.ping_from(&host.here, Some(&host.innocent)),
            "{name}: beside {rule}"
        );
        daemon.api().add("ignore", &rule, None, 0);
        assert!(
            lab.ping_from(&host.here, Some(&host.banned)),
            "{name}: {rule} ignored"
        );
    }
}
