//! The interfaces: how XDP runs there, and what the card does to frames before XDP sees them.

use std::collections::BTreeSet;

use couic_common::{InterfaceHealth, XdpMode};
use couic_netlink::{LinkLayer, OnInterface};

use super::{
    Check,
    daemon::Facts,
    kernel::{self, Offloads},
};

/// What is known of one interface.
struct Known<'a> {
    name: &'a str,
    /// None where the daemon does not tell.
    health: Option<&'a InterfaceHealth>,
    attached: Option<OnInterface>,
    layer: LinkLayer,
    driver: Option<String>,
    native: Option<bool>,
    offloads: Option<Offloads>,
}

/// Those that the daemon has, and those that its configuration names.
pub(super) fn all(configured: &[String], facts: &Facts, checks: &mut Vec<Check>) {
    let mut names: BTreeSet<String> = facts.interfaces.iter().map(|i| i.name.clone()).collect();
    for pattern in configured {
        let matching = expand(pattern);
        if matching.is_empty() {
            checks.push(missing(pattern, &facts.interfaces));
        }
        names.extend(matching);
    }
    for name in &names {
        let Some(index) = kernel::index(name) else {
            continue;
        };
        let Ok(Some(here)) = couic_netlink::interface(index) else {
            continue;
        };
        let known = Known {
            name,
            health: facts.interfaces.iter().find(|i| i.name == *name),
            attached: here.xdp,
            layer: here.layer,
            driver: kernel::driver(name),
            native: couic_netlink::runs_xdp(index),
            offloads: kernel::offloads(name),
        };
        checks.push(program(&known));
        checks.extend(offloads(&known));
    }
}

/// Nothing here is called so. Where the daemon filters it all the same, it does so elsewhere.
fn missing(pattern: &str, filtered: &[InterfaceHealth]) -> Check {
    let name = format!("interface {pattern}");
    let of_daemon = filtered
        .iter()
        .any(|i| i.attached && matches(pattern.as_bytes(), i.name.as_bytes()));
    if of_daemon {
        return Check::skip(name, "the daemon filters it in another network namespace")
            .so("look there, with nsenter -n or ip netns exec");
    }
    Check::fail(name, "there is none of this name").so("see ip link, and ifaces in couic.toml")
}

/// The interfaces that a name, or a pattern with `*` and `?`, means.
fn expand(pattern: &str) -> Vec<String> {
    // Not by /sys/class/net: under nsenter --net that shows the interfaces of another network namespace.
    let all = couic_netlink::interfaces().unwrap_or_default();
    let names = all.into_iter().map(|interface| interface.name);
    names
        .filter(|name| matches(pattern.as_bytes(), name.as_bytes()))
        .collect()
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches(rest, name) || name.split_first().is_some_and(|(_, n)| matches(pattern, n))
        }
        (Some((b'?', rest)), Some((_, n))) => matches(rest, n),
        (Some((p, rest)), Some((c, n))) => p == c && matches(rest, n),
        _ => false,
    }
}

/// Which program is there, and how it runs.
fn program(known: &Known<'_>) -> Check {
    let name = format!("interface {}", known.name);
    let Some(health) = known.health else {
        return match known.attached {
            Some(OnInterface { id, .. }) => Check::warn(name, format!("the XDP program {id} is attached, and no daemon answers for it"))
                .so("start the daemon, which takes over a filter that it kept; bpftool prog show tells whose it is"),
            None => Check::fail(name, "no XDP program is attached, and no daemon answers that would filter by TCX"),
        };
    };
    if !health.attached {
        return not_filtered(known, name, health.problem.as_deref());
    }
    let note = health.note.as_deref().unwrap_or("by TCX");
    let has_header = known.layer == LinkLayer::Ethernet;
    match health.mode {
        Some(XdpMode::Tcx | XdpMode::Generic) if !has_header => {
            Check::ok(name, format!("filtered {note}"))
        }
        Some(XdpMode::Tcx) => in_tcx(known, name, note),
        Some(XdpMode::Generic) => in_the_stack(known, name),
        Some(mode) => {
            let how = match mode {
                XdpMode::Offloaded => "in the network card",
                _ => "in the driver",
            };
            Check::ok(name, format!("XDP runs {how} ({})", known.driver()))
        }
        None => Check::warn(name, "filtered in a mode that this couicctl does not know")
            .so("install couic and couicctl of one version"),
    }
}

fn not_filtered(known: &Known<'_>, name: String, problem: Option<&str>) -> Check {
    let why = problem.unwrap_or("unknown why");
    match known.attached {
        Some(OnInterface { id, .. }) => Check::fail(
            name,
            format!("not filtered: another XDP program, {id}, is attached ({why})"),
        )
        .so(format!(
            "bpftool prog show id {id} tells whose it is; ip link set dev {} xdp off removes it",
            known.name
        )),
        None if known.layer == LinkLayer::Ethernet => {
            Check::fail(name, format!("not filtered: {why}"))
                .so("restart the daemon: systemctl restart couic")
        }
        // The problem says what works there.
        None => Check::fail(name, format!("not filtered: {why}")),
    }
}

/// TCX, on frames with an Ethernet header: generic XDP would cost the same, and native XDP less.
fn in_tcx(known: &Known<'_>, name: String, note: &str) -> Check {
    let found = format!("filtered {note}");
    match (known.attached, known.native) {
        (Some(OnInterface { id, .. }), _) => Check::warn(name, found).so(format!(
            "it is the best there is while the XDP program {id} stays: bpftool prog show id {id} tells whose it is"
        )),
        (None, Some(true)) => Check::warn(name, found).so(
            "unless it is to be TCX, set operation_mode = \"native\" in couic.toml and restart the daemon: the driver takes over without a gap",
        ),
        (None, _) => Check::ok(name, found),
    }
}

/// Generic XDP, on frames with an Ethernet header.
fn in_the_stack(known: &Known<'_>, name: String) -> Check {
    let driver = known.driver();
    if known.native != Some(true) {
        let found = format!("XDP runs in the network stack: {driver} cannot run it itself");
        let advice = "it filters all the same, but each dropped frame costs several times as much";
        return Check::warn(name, found).so(advice);
    }
    let found = format!("XDP runs in the network stack, although {driver} could run it itself");
    Check::warn(name, found).so(if known.offloads.is_some_and(|o| o.lro) {
        format!("LRO stands in its way: ethtool -K {} lro off, then restart the daemon", known.name)
    } else {
        "set operation_mode = \"native\" in couic.toml and restart (\"auto\" keeps the mode that it finds, until couic detach \
         and a start); should that fail, the log says what is in its way, say a large MTU or too few queues"
            .to_owned()
    })
}

impl Known<'_> {
    fn driver(&self) -> &str {
        self.driver.as_deref().unwrap_or("a driver without name")
    }
}

/// What the card does to frames first.
fn offloads(known: &Known<'_>) -> Option<Check> {
    let name = format!("offloads {}", known.name);
    let Offloads { rxvlan, lro } = known.offloads?;
    let generic = known
        .health
        .is_some_and(|h| h.mode == Some(XdpMode::Generic));
    if lro && !generic {
        let check = Check::warn(
            name,
            "LRO merges packets before XDP sees them: they count as one",
        );
        return Some(check.so(format!("ethtool -K {} lro off", known.name)));
    }
    if rxvlan {
        // Couic judges by the IP source below up to two tags, whether they are still there or not.
        let found = "the card takes VLAN tags off, so that XDP does not see them: Couic judges the IP source either way";
        return Some(Check::ok(name, found));
    }
    Some(Check::ok(name, "frames reach XDP as they came"))
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    fn health(attached: bool, mode: Option<XdpMode>) -> InterfaceHealth {
        InterfaceHealth {
            name: "eth0".into(),
            attached,
            mode,
            problem: (!attached).then(|| "busy".into()),
            note: None,
        }
    }

    fn known(health: Option<&InterfaceHealth>) -> Known<'_> {
        Known {
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
    fn what_is_not_here_may_be_filtered_elsewhere() {
        let elsewhere = [health(true, None)];
        assert_eq!(missing("eth*", &elsewhere).state, State::Skip);
        assert_eq!(missing("wan0", &elsewhere).state, State::Fail);
        assert_eq!(missing("eth0", &[health(false, None)]).state, State::Fail);
    }

    #[test]
    fn patterns_mean_names() {
        for (pattern, name, expected) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth*", "eth", true),
            ("*", "", true),
            ("e*h?", "eth0", true),
            ("?", "", false),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xbxxa", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
        assert_eq!(expand("lo"), ["lo"]);
        assert!(expand("no-such*").is_empty());
    }

    #[test]
    fn the_driver_is_better_than_the_stack() {
        let native = health(true, Some(XdpMode::Native));
        assert_eq!(program(&known(Some(&native))).state, State::Ok);
        let generic = health(true, Some(XdpMode::Generic));
        let check = program(&known(Some(&generic)));
        assert_eq!(check.state, State::Warn);
        assert!(check.advice.unwrap().contains("operation_mode"));
        let lro = Offloads {
            rxvlan: false,
            lro: true,
        };
        let merged = Known {
            offloads: Some(lro),
            ..known(Some(&generic))
        };
        assert!(
            program(&merged)
                .advice
                .unwrap()
                .contains("ethtool -K eth0 lro off")
        );
        let cannot = Known {
            native: Some(false),
            ..known(Some(&generic))
        };
        assert!(program(&cannot).found.contains("virtio_net cannot run it"));
    }

    #[test]
    fn tcx_is_well_where_there_is_no_ethernet_header_and_told_about_elsewhere() {
        let noted = |mode| InterfaceHealth {
            note: Some("by a way that has a reason".into()),
            ..health(true, Some(mode))
        };
        let tcx = noted(XdpMode::Tcx);
        let here = known(Some(&tcx));
        let check = program(&here);
        assert_eq!(check.state, State::Warn);
        assert!(check.found.contains("that has a reason"), "{check:?}");
        assert!(check.advice.unwrap().contains("operation_mode"));
        let cannot = Known {
            native: Some(false),
            ..known(Some(&tcx))
        };
        assert_eq!(program(&cannot).state, State::Ok, "nothing costs less");
        let behind = Known {
            attached: FOREIGN,
            ..known(Some(&tcx))
        };
        assert!(program(&behind).advice.unwrap().contains("show id 7"));
        for mode in [XdpMode::Tcx, XdpMode::Generic] {
            let noted = noted(mode);
            let tunnel = Known {
                layer: LinkLayer::Ip { generic: true },
                ..known(Some(&noted))
            };
            let check = program(&tunnel);
            assert_eq!(check.state, State::Ok);
            assert!(check.found.contains("that has a reason"), "{check:?}");
        }
        let unknown = health(true, None);
        assert_eq!(program(&known(Some(&unknown))).state, State::Warn);
    }

    #[test]
    fn who_is_in_the_way_is_named() {
        let not = health(false, None);
        assert!(program(&known(Some(&not))).found.contains("busy"));
        let foreign = Known {
            attached: FOREIGN,
            ..known(Some(&not))
        };
        let check = program(&foreign);
        assert_eq!(check.state, State::Fail);
        assert!(
            check.found.contains("another XDP program, 7")
                && check.advice.unwrap().contains("xdp off")
        );
        assert_eq!(program(&known(None)).state, State::Fail);
        let kept = Known {
            attached: FOREIGN,
            ..known(None)
        };
        assert_eq!(program(&kept).state, State::Warn);
    }

    #[test]
    fn offloads_by_what_they_do_to_frames() {
        let native = health(true, Some(XdpMode::Native));
        let with = |rxvlan, lro| {
            let offloads_ = Some(Offloads { rxvlan, lro });
            offloads(&Known {
                offloads: offloads_,
                ..known(Some(&native))
            })
            .unwrap()
        };
        assert_eq!(with(false, false).state, State::Ok);
        assert!(with(true, false).found.contains("VLAN"));
        assert_eq!(with(true, true).state, State::Warn);
        assert_eq!(offloads(&known(None)), None);
    }
}
