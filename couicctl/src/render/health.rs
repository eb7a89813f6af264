//! The health of the daemon.

use std::io::{self, Write};

use couic_common::{Area, Health, HealthStatus, InterfaceHealth, PanicStatus, XdpMode};

use super::{Table, lookup::timestamp, notifiers::ago};
use crate::failure::printable;

/// A summary, the interfaces, and the problems. While panic is on, `panic` adds details to the document, if known.
pub(crate) fn health(
    health: &Health,
    panic: Option<&PanicStatus>,
    now: u64,
    out: &mut dyn Write,
) -> io::Result<()> {
    for line in summary(health, panic, now) {
        writeln!(out, "{line}")?;
    }
    interfaces(&health.interfaces, out)?;
    // Outages are in the lines above.
    let problems = health.problems().into_iter();
    for problem in problems.filter(|problem| problem.severity != HealthStatus::Down) {
        writeln!(
            out,
            "{}: {}",
            label(problem.area),
            printable(&problem.to_string())
        )?;
    }
    Ok(())
}

/// Whether it filters; and what is known of the panic, while that is on.
pub(super) fn summary(health: &Health, panic: Option<&PanicStatus>, now: u64) -> Vec<String> {
    let state = match (health.panic_since, health.status) {
        (Some(_), _) => "filters NOTHING",
        (None, HealthStatus::Ok) => "filters",
        (None, HealthStatus::Degraded) => "filters, but needs attention",
        (None, HealthStatus::Down) => "does NOT filter everywhere",
    };
    let mut lines = vec![format!("couic {} {state}.", printable(&health.version))];
    if let Some(since) = health.panic_since {
        lines.push(panic_line(since, panic, now));
    }
    lines
}

const fn label(area: Area) -> &'static str {
    match area {
        Area::Panic => "Panic",
        Area::Confirm => "Confirm",
        Area::Interface => "Interface",
        Area::Filter => "Filter",
        Area::Sets => "Sets",
        Area::Rules => "Rules",
        Area::Notifier => "Notifier",
        Area::Peer => "Peer",
        Area::State => "Rules on disk",
        Area::Metrics => "Metrics",
        Area::Config => "Configuration",
        Area::Kernel => "Note",
    }
}

/// The mode of each interface, and the reason for it.
fn interfaces(interfaces: &[InterfaceHealth], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&["Interface", "Attached", "Mode", "~Problem"]);
    for interface in interfaces {
        let mode = interface.mode.map_or("", XdpMode::as_str);
        let attached = if interface.attached { "yes" } else { "NO" };
        let problem = interface.problem.as_deref().unwrap_or("");
        table.row(&[&interface.name, &attached, &mode, &problem]);
    }
    table.write(out)?;
    for interface in interfaces {
        if let Some(note) = &interface.note {
            let text = format!("{} is filtered {note}", interface.name);
            writeln!(out, "Note: {}", printable(&text))?;
        }
    }
    Ok(())
}

/// Time, client and reason of the panic, and how to end it. The time is unknown (0) if the daemon started with a
/// damaged file.
fn panic_line(since: u64, panic: Option<&PanicStatus>, now: u64) -> String {
    let mut text = "PANIC IS ON: every packet passes, regardless of the rules".to_owned();
    if since > 0 {
        text += &format!(", since {} ({})", timestamp(since), ago(since, now));
    }
    if let Some(by) = panic.and_then(|panic| panic.by.as_ref()) {
        text += &format!("; switched on by {by}");
    }
    if let Some(reason) = panic.and_then(|panic| panic.reason.as_ref()) {
        text += &format!(": {}", printable(reason));
    }
    text + ". To end it: couicctl panic off"
}

#[cfg(test)]
mod tests {
    use couic_common::{NotifierProblem, PeerHealth, Policy, SetProblem, StateProblem};

    use super::*;

    fn three() -> Vec<InterfaceHealth> {
        let filtered = InterfaceHealth {
            name: "eth0".into(),
            attached: true,
            mode: Some(XdpMode::Native),
            problem: None,
            note: None,
        };
        let missing = InterfaceHealth {
            name: "eth1".into(),
            attached: false,
            mode: None,
            problem: Some("no such interface".into()),
            note: None,
        };
        let tunnel = InterfaceHealth {
            name: "tun0".into(),
            mode: Some(XdpMode::Tcx),
            note: Some("by TCX, since the link has no Ethernet header".into()),
            ..filtered.clone()
        };
        vec![filtered, missing, tunnel]
    }

    fn state_problems() -> Vec<StateProblem> {
        vec![
            StateProblem {
                file: Some("journal-1.log".into()),
                message: "is damaged".into(),
            },
            StateProblem {
                file: None,
                message: "cannot write the log: disk full".into(),
            },
        ]
    }

    #[test]
    fn every_problem_has_a_line() {
        let state = Health {
            status: HealthStatus::Down,
            version: "2.0.0".into(),
            interfaces: three(),
            filter_problems: vec!["no interface matches veth*".to_owned()],
            set_problems: vec![SetProblem {
                policy: Policy::Drop,
                file: "bad.couic".into(),
                line: Some(3),
                message: "sets/drop/bad.couic line 3: x: not a CIDR".into(),
            }],
            rule_problems: vec!["drop covers 60 % of all IPv4 addresses".to_owned()],
            metrics_problem: None,
            config_problem: Some("the configuration is NOT reloaded".into()),
            set_notes: vec!["sets/drop/a.couic may be cut off".to_owned()],
            notifier_problems: vec![NotifierProblem {
                notifier: "siem".into(),
                message: "has failed: the server answered 404".into(),
            }],
            peer_problems: vec![PeerHealth {
                name: "b".parse().unwrap(),
                since: 0,
                problem: "does not respond: connection refused".into(),
            }],
            panic_since: None,
            panic_problem: Some("panic is off, but panic.json cannot be removed".to_owned()),
            confirm_problems: vec!["sets/drop/s.couic is NOT in force".to_owned()],
            state_problems: state_problems(),
            notes: vec!["this kernel has no Landlock".to_owned()],
            missing_features: vec!["this kernel lacks TCX".to_owned()],
        };
        let mut shown = Vec::new();
        health(&state, None, 0, &mut shown).unwrap();
        let expected = "\
couic 2.0.0 does NOT filter everywhere.
┌───────────┬──────────┬────────┬───────────────────┐
│ Interface ┆ Attached ┆ Mode   ┆ Problem           │
╞═══════════╪══════════╪════════╪═══════════════════╡
│ eth0      ┆ yes      ┆ native ┆                   │
│ eth1      ┆ NO       ┆        ┆ no such interface │
│ tun0      ┆ yes      ┆ tcx    ┆                   │
└───────────┴──────────┴────────┴───────────────────┘
Note: tun0 is filtered by TCX, since the link has no Ethernet header
Panic: panic is off, but panic.json cannot be removed
Confirm: sets/drop/s.couic is NOT in force
Filter: no interface matches veth*
Sets: drop/bad.couic was not loaded: sets/drop/bad.couic line 3: x: not a CIDR
Rules: drop covers 60 % of all IPv4 addresses
Notifier: siem has failed: the server answered 404
Peer: b does not respond: connection refused
Configuration: the configuration is NOT reloaded
Rules on disk: journal-1.log is damaged
Rules on disk: cannot write the log: disk full
Sets: sets/drop/a.couic may be cut off
Note: this kernel has no Landlock
Note: this kernel lacks TCX
";
        assert_eq!(String::from_utf8(shown).unwrap(), expected);
    }

    #[test]
    fn panic_is_shown_with_time_client_and_reason() {
        let shown_for = |since, panic: Option<&PanicStatus>| {
            let state = Health {
                status: HealthStatus::Down,
                interfaces: three(),
                panic_since: Some(since),
                ..Health::well("2.0.0")
            };
            let mut shown = Vec::new();
            health(&state, panic, 1_000_000_090, &mut shown).unwrap();
            let text = String::from_utf8(shown).unwrap();
            let lines: Vec<&str> = text.lines().take(2).collect();
            lines.join("\n")
        };
        let head = "couic 2.0.0 filters NOTHING.\nPANIC IS ON: every packet passes, regardless of the rules";
        let end = ". To end it: couicctl panic off";
        assert_eq!(shown_for(0, None), format!("{head}{end}"));
        let since = ", since 2001-09-09T01:46:40Z (1m 30s ago)";
        assert_eq!(
            shown_for(1_000_000_000, None),
            format!("{head}{since}{end}")
        );
        let status = PanicStatus {
            on: true,
            by: Some("ops".parse().unwrap()),
            since: Some(1_000_000_000),
            reason: Some("locked\u{1b} out".to_owned()),
            problem: None,
        };
        let who = "; switched on by ops: locked? out";
        let all = shown_for(1_000_000_000, Some(&status));
        assert_eq!(all, format!("{head}{since}{who}{end}"));
    }
}
