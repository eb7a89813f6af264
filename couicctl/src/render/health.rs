//! Whether the filter stands.

use std::io::{self, Write};

use couic_common::{Health, HealthStatus, XdpMode};

use super::Table;
use crate::failure::printable;

/// A sentence, the interfaces, and what was not loaded.
pub(crate) fn health(health: &Health, out: &mut dyn Write) -> io::Result<()> {
    let state = match health.status {
        HealthStatus::Ok => "filters",
        HealthStatus::Degraded => "filters, but wants attention",
        HealthStatus::Down => "does NOT filter everywhere",
    };
    writeln!(out, "couic {} {state}.", printable(&health.version))?;
    if health.panic_since.is_some() {
        writeln!(
            out,
            "PANIC IS ON: every packet passes. See couicctl panic; to end it: couicctl panic off"
        )?;
    }
    let mut table = Table::new(&["Interface", "Attached", "Mode", "Problem"]);
    for interface in &health.interfaces {
        let mode = interface.mode.map_or("", |mode| match mode {
            XdpMode::Native => "native",
            XdpMode::Generic => "generic",
            XdpMode::Offloaded => "offloaded",
        });
        let attached = if interface.attached { "yes" } else { "NO" };
        let problem = interface.problem.as_deref().unwrap_or("");
        table.row(&[&interface.name, &attached, &mode, &problem]);
    }
    table.write(out)?;
    for problem in &health.filter_problems {
        writeln!(out, "Filter: {}", printable(problem))?;
    }
    for problem in &health.set_problems {
        let at = problem
            .line
            .map_or(String::new(), |n| format!(", line {n}"));
        let text = format!(
            "set file {}/{}{at}: {}",
            problem.policy, problem.file, problem.message
        );
        writeln!(out, "Not loaded: {}", printable(&text))?;
    }
    for problem in &health.notifier_problems {
        let text = format!("{} {}", problem.notifier, problem.message);
        writeln!(out, "Notifier: {}", printable(&text))?;
    }
    for problem in &health.peer_problems {
        let text = format!("{} does not answer: {}", problem.name, problem.problem);
        writeln!(out, "Peer: {}", printable(&text))?;
    }
    for problem in &health.state_problems {
        let file = problem.file.as_ref();
        let file = file.map_or(String::new(), |file| format!("{file} "));
        let text = format!("{file}{}", problem.message);
        writeln!(out, "Rules on disk: {}", printable(&text))?;
    }
    for note in &health.notes {
        writeln!(out, "Note: {}", printable(note))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use couic_common::{
        InterfaceHealth, NotifierProblem, PeerHealth, Policy, SetProblem, StateProblem,
    };

    use super::*;

    fn interfaces() -> Vec<InterfaceHealth> {
        let filtered = InterfaceHealth {
            name: "eth0".into(),
            attached: true,
            mode: Some(XdpMode::Native),
            problem: None,
        };
        let missing = InterfaceHealth {
            name: "eth1".into(),
            attached: false,
            mode: None,
            problem: Some("no such interface".into()),
        };
        vec![filtered, missing]
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
    fn what_is_wrong_stands_out() {
        let state = Health {
            status: HealthStatus::Down,
            version: "2.0.0".into(),
            interfaces: interfaces(),
            filter_problems: vec!["no interface matches veth*".to_owned()],
            set_problems: vec![SetProblem {
                policy: Policy::Drop,
                file: "bad.couic".into(),
                line: Some(3),
                message: "not a CIDR".into(),
            }],
            notifier_problems: vec![NotifierProblem {
                notifier: "siem".into(),
                message: "has failed: the server answered 404".into(),
            }],
            peer_problems: vec![PeerHealth {
                name: "b".parse().unwrap(),
                since: 0,
                problem: "nobody there".into(),
            }],
            panic_since: Some(1_795_248_000),
            state_problems: state_problems(),
            notes: vec!["this kernel has no Landlock".to_owned()],
        };
        let mut shown = Vec::new();
        health(&state, &mut shown).unwrap();
        let expected = "\
couic 2.0.0 does NOT filter everywhere.
PANIC IS ON: every packet passes. See couicctl panic; to end it: couicctl panic off
┌───────────┬──────────┬────────┬───────────────────┐
│ Interface ┆ Attached ┆ Mode   ┆ Problem           │
╞═══════════╪══════════╪════════╪═══════════════════╡
│ eth0      ┆ yes      ┆ native ┆                   │
│ eth1      ┆ NO       ┆        ┆ no such interface │
└───────────┴──────────┴────────┴───────────────────┘
Filter: no interface matches veth*
Not loaded: set file drop/bad.couic, line 3: not a CIDR
Notifier: siem has failed: the server answered 404
Peer: b does not answer: nobody there
Rules on disk: journal-1.log is damaged
Rules on disk: cannot write the log: disk full
Note: this kernel has no Landlock
";
        assert_eq!(String::from_utf8(shown).unwrap(), expected);
    }
}
