//! Checks of the interfaces: the mode of XDP, and NIC offloads that change frames before XDP.

use std::collections::BTreeSet;

use couic_common::{InterfaceHealth, XdpMode, glob_matches};
use couic_netlink::{LinkLayer, OnInterface};

use super::{
    Check,
    daemon::DaemonFacts,
    kernel::{self, Offloads},
};

/// The facts about one interface.
struct InterfaceFacts<'a> {
    name: &'a str,
    /// None if the daemon does not report it.
    health: Option<&'a InterfaceHealth>,
    attached: Option<OnInterface>,
    layer: LinkLayer,
    driver: Option<String>,
    native: Option<bool>,
    offloads: Option<Offloads>,
}

/// Checks the interfaces of the daemon and those of its configuration.
pub(super) fn all(configured: &[String], facts: &DaemonFacts, checks: &mut Vec<Check>) {
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
        let known = InterfaceFacts {
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

/// No interface has this name. If the daemon filters it nevertheless, it is in another network namespace.
fn missing(pattern: &str, filtered: &[InterfaceHealth]) -> Check {
    let name = format!("interface {pattern}");
    let of_daemon = filtered
        .iter()
        .any(|i| i.attached && glob_matches(pattern, &i.name));
    if of_daemon {
        return Check::skip(name, "the daemon filters it in another network namespace")
            .advise("check there, with nsenter -n or ip netns exec");
    }
    Check::fail(name, "no such interface").advise("see ip link, and ifaces in couic.toml")
}

/// The interfaces that match a name, or a pattern with `*` and `?`.
fn expand(pattern: &str) -> Vec<String> {
    // Not from /sys/class/net, which shows those of another network namespace under nsenter --net.
    let all = couic_netlink::interfaces().unwrap_or_default();
    let names = all.into_iter().map(|interface| interface.name);
    names.filter(|name| glob_matches(pattern, name)).collect()
}

/// The attached program and its mode.
fn program(known: &InterfaceFacts<'_>) -> Check {
    let name = format!("interface {}", known.name);
    let Some(health) = known.health else {
        return match known.attached {
            Some(OnInterface { id, .. }) => Check::warn(name, format!("the XDP program {id} is attached, but no daemon responds"))
                .advise("start the daemon, which takes over a filter that it left attached, or detach that with couic detach; see bpftool prog show for its owner"),
            None => Check::fail(name, "no XDP program is attached, and no daemon responds that could filter with TCX"),
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
                XdpMode::Offloaded => "on the NIC",
                _ => "in the driver",
            };
            Check::ok(name, format!("XDP runs {how} ({})", known.driver()))
        }
        None => Check::warn(name, "filtered in a mode unknown to this couicctl")
            .advise("install the same version of couic and couicctl"),
    }
}

fn not_filtered(known: &InterfaceFacts<'_>, name: String, problem: Option<&str>) -> Check {
    let why = problem.unwrap_or("unknown reason");
    match known.attached {
        Some(OnInterface { id, .. }) => Check::fail(
            name,
            format!("not filtered: another XDP program, {id}, is attached ({why})"),
        )
        .advise(format!(
            "see bpftool prog show id {id} for its owner; ip link set dev {} xdp off removes it",
            known.name
        )),
        None if known.layer == LinkLayer::Ethernet => {
            Check::fail(name, format!("not filtered: {why}"))
                .advise("restart the daemon: systemctl restart couic")
        }
        // The problem contains the advice.
        None => Check::fail(name, format!("not filtered: {why}")),
    }
}

/// TCX on a link with Ethernet headers: generic XDP would cost the same, native XDP less.
fn in_tcx(known: &InterfaceFacts<'_>, name: String, note: &str) -> Check {
    let found = format!("filtered {note}");
    match (known.attached, known.native) {
        (Some(OnInterface { id, .. }), _) => Check::warn(name, found).advise(format!(
            "no faster mode is possible while the XDP program {id} is attached: see bpftool prog show id {id} for its owner"
        )),
        (None, Some(true)) => Check::warn(name, found).advise(
            "unless you want TCX, set operation_mode = \"native\" in couic.toml and restart the daemon: the driver takes over without a gap",
        ),
        (None, _) => Check::ok(name, found),
    }
}

/// Generic XDP on a link with Ethernet headers.
fn in_the_stack(known: &InterfaceFacts<'_>, name: String) -> Check {
    let driver = known.driver();
    if known.native != Some(true) {
        let found = format!("XDP runs in the network stack: {driver} has no native XDP");
        let advice = "it filters, but each dropped frame costs several times as much";
        return Check::warn(name, found).advise(advice);
    }
    let found = format!("XDP runs in the network stack, although {driver} supports native XDP");
    Check::warn(name, found).advise(if known.offloads.is_some_and(|o| o.lro) {
        format!("LRO prevents it: ethtool -K {} lro off, then restart the daemon", known.name)
    } else {
        "set operation_mode = \"native\" in couic.toml and restart (\"auto\" keeps the current mode until couic detach and \
         a start); if that fails, the log has the reason, such as a large MTU or too few queues"
            .to_owned()
    })
}

impl InterfaceFacts<'_> {
    fn driver(&self) -> &str {
        self.driver.as_deref().unwrap_or("an unknown driver")
    }
}

/// NIC offloads that change frames before XDP.
fn offloads(known: &InterfaceFacts<'_>) -> Option<Check> {
    let name = format!("offloads {}", known.name);
    let Offloads { rxvlan, lro } = known.offloads?;
    let generic = known
        .health
        .is_some_and(|h| h.mode == Some(XdpMode::Generic));
    if lro && !generic {
        let check = Check::warn(
            name,
            "LRO merges packets before XDP, which counts them as one",
        );
        return Some(check.advise(format!("ethtool -K {} lro off", known.name)));
    }
    if rxvlan {
        // Couic finds the IP source behind VLAN tags, whether or not the NIC has stripped them.
        let found =
            "the NIC strips VLAN tags before XDP: Couic filters by the IP source either way";
        return Some(Check::ok(name, found));
    }
    Some(Check::ok(name, "frames reach XDP unchanged"))
}

#[cfg(test)]
mod tests;
