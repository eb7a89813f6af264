//! Everything on one screen of 80 columns and 24 lines: a line for each part, what is wrong before what is well.

use std::io::{self, Write};

use couic_common::{
    AuditEntry, HealthStatus, NotifierState, PeerState, counted, grouped, time_left,
};

use super::{health::summary, notifiers::ago, stats::bytes, wrap::wrap};
use crate::{
    commands::{Overview, TagRate},
    failure::printable,
};

/// Columns of the labels.
const LABEL: usize = 12;

/// How many problems, pending changes, peers and notifiers are named.
const NAMED: usize = 4;

/// Draws it, at most `width` columns wide.
pub(crate) fn status(
    overview: &Overview,
    now: u64,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut screen = Screen { width, out };
    let health = &overview.health;
    for line in summary(health, overview.panic.as_ref(), now) {
        screen.text("", &line)?;
    }
    if let Some(daemon) = &overview.daemon {
        let (up, kernel) = (time_left(daemon.uptime), &daemon.kernel);
        screen.text("Up", &format!("{up}, kernel {kernel}"))?;
    }
    problems(overview, &mut screen)?;
    interfaces(overview, &mut screen)?;
    rules(overview, &mut screen)?;
    traffic(overview, &mut screen)?;
    peers(overview, &mut screen)?;
    notifiers(overview, &mut screen)?;
    pending(overview, &mut screen)?;
    changes(overview, now, &mut screen)?;
    for note in &overview.notes {
        screen.text("Note", note)?;
    }
    Ok(())
}

struct Screen<'a> {
    width: usize,
    out: &'a mut dyn Write,
}

impl Screen<'_> {
    /// A part: its label, and its text beside that.
    fn text(&mut self, label: &str, text: &str) -> io::Result<()> {
        let safe = printable(text).replace('\n', " ");
        let indent = if label.is_empty() { 0 } else { LABEL };
        let mut label = label;
        for line in wrap(&safe, self.width.saturating_sub(indent).max(20)) {
            writeln!(self.out, "{label:indent$}{line}")?;
            label = "";
        }
        Ok(())
    }

    /// Several lines of one part, and how many there are more.
    fn lines(&mut self, label: &str, lines: &[String], see: &str) -> io::Result<()> {
        let mut label = label;
        for line in lines.iter().take(NAMED) {
            self.text(label, line)?;
            // Not empty, so that the next lines are indented.
            label = " ";
        }
        match lines.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => self.text(label, &format!("and {more} more: {see}")),
        }
    }
}

fn problems(overview: &Overview, screen: &mut Screen<'_>) -> io::Result<()> {
    let all = overview.health.problems();
    let problems = all.iter().filter(|p| p.severity == HealthStatus::Degraded);
    let lines: Vec<String> = problems.map(ToString::to_string).collect();
    screen.lines("Problems", &lines, "couicctl health")
}

fn interfaces(overview: &Overview, screen: &mut Screen<'_>) -> io::Result<()> {
    let mut lines = Vec::new();
    let mut filtered = Vec::new();
    for interface in &overview.health.interfaces {
        let name = &interface.name;
        match (interface.attached, interface.mode) {
            (true, mode) => {
                let mode = mode.map_or(String::new(), |mode| format!(" {}", mode.as_str()));
                filtered.push(format!("{name}{mode}"));
            }
            (false, _) => {
                let why = interface.problem.as_deref().unwrap_or("not attached");
                lines.push(format!("{name} NOT FILTERED: {why}"));
            }
        }
    }
    if !filtered.is_empty() {
        lines.push(filtered.join(", "));
    }
    screen.lines("Interfaces", &lines, "couicctl health")
}

fn rules(overview: &Overview, screen: &mut Screen<'_>) -> io::Result<()> {
    let Some(stats) = &overview.stats else {
        return Ok(());
    };
    let counts = [
        ("drop", stats.drop_cidr_count),
        ("ignore", stats.ignore_cidr_count),
    ];
    let lines = counts.map(|(policy, count)| {
        let tables = overview.tables.iter().filter(|t| t.policy == policy);
        let tables = tables.filter(|table| table.rules > 0);
        let fill: Vec<String> = tables
            .map(|table| {
                let percent = table.rules * 100 / table.limit.max(1);
                let (rules, limit) = (grouped(table.rules), grouped(table.limit));
                format!("{} {rules} of {limit}, {percent} %", table.family)
            })
            .collect();
        match fill.is_empty() {
            true => format!("{policy} {}", grouped(count)),
            false => format!("{policy} {} ({})", grouped(count), fill.join("; ")),
        }
    });
    screen.lines("Rules", &lines, "")
}

fn traffic(overview: &Overview, screen: &mut Screen<'_>) -> io::Result<()> {
    if let Some([dropped, passed]) = overview.rates {
        let rate = |(packets, volume): (f64, f64)| {
            format!("{}/s ({}/s)", grouped(packets as u64), bytes(volume as u64))
        };
        let (dropped, passed) = (rate(dropped), rate(passed));
        screen.text("Packets", &format!("dropped {dropped}, passed {passed}"))?;
    }
    let tag = |tag: &TagRate| {
        let (rate, packets) = (grouped(tag.rate as u64), grouped(tag.packets));
        format!("{} {rate}/s ({packets})", tag.tag)
    };
    let tags: Vec<String> = overview.tags.iter().map(tag).collect();
    if tags.is_empty() {
        return Ok(());
    }
    screen.text("Top tags", &tags.join(", "))
}

fn peers(overview: &Overview, screen: &mut Screen<'_>) -> io::Result<()> {
    let Some(peers) = overview.peers.as_ref().filter(|peers| !peers.is_empty()) else {
        return Ok(());
    };
    let is_well = |state| {
        matches!(
            state,
            PeerState::InSync | PeerState::Plain | PeerState::Inbound
        )
    };
    let (well, others): (Vec<_>, Vec<_>) = peers.iter().partition(|peer| is_well(peer.state));
    let mut lines: Vec<String> = others
        .iter()
        .map(|peer| {
            let (name, state) = (&peer.name, super::peer_state(peer.state));
            format!("{name} {state}, {} waiting", grouped(peer.queue))
        })
        .collect();
    if !well.is_empty() {
        let waiting: u64 = well.iter().map(|peer| peer.queue).sum();
        let count = counted(well.len() as u64, "peer", "peers");
        lines.push(format!("{count} well, {} waiting", grouped(waiting)));
    }
    screen.lines("Peers", &lines, "couicctl peers")
}

fn notifiers(overview: &Overview, screen: &mut Screen<'_>) -> io::Result<()> {
    let Some(all) = overview.notifiers.as_ref().filter(|all| !all.is_empty()) else {
        return Ok(());
    };
    let mut lines: Vec<(bool, String)> = all
        .iter()
        .map(|info| {
            let failed = info.state == NotifierState::Failed;
            let state = if failed {
                "FAILED"
            } else {
                info.state.as_str()
            };
            let (name, waiting) = (&info.name, grouped(info.queue_events));
            let mut line = format!("{name} {state}, {waiting} waiting");
            if info.dead_letters > 0 {
                let letters = counted(info.dead_letters, "dead letter", "dead letters");
                line += &format!(", {letters}");
            }
            (!failed && info.dead_letters == 0, line)
        })
        .collect();
    lines.sort_by_key(|(is_well, _)| *is_well);
    let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    screen.lines("Notifiers", &lines, "couicctl notifiers list")
}

fn pending(overview: &Overview, screen: &mut Screen<'_>) -> io::Result<()> {
    let Some(all) = &overview.confirmations else {
        return Ok(());
    };
    let lines: Vec<String> = all
        .pending
        .iter()
        .map(|change| {
            let (id, client, left) = (change.id, &change.client, time_left(change.left));
            format!("{id} of {client}: {}, undone in {left}", change.summary)
        })
        .collect();
    screen.lines("Pending", &lines, "couicctl confirm list")
}

fn changes(overview: &Overview, now: u64, screen: &mut Screen<'_>) -> io::Result<()> {
    let entries = overview.changes.iter().flatten();
    let line = |entry: &AuditEntry| format!("{}: {}", ago(entry.at, now), entry.describe());
    let lines: Vec<String> = entries.map(line).collect();
    screen.lines("Changes", &lines, "couicctl log")
}

#[cfg(test)]
mod tests {
    use couic_common::{AuditActor, AuditActorKind, Health, InterfaceHealth, Stats, XdpMode};

    use super::*;

    fn overview() -> Overview {
        let interface = |name: &str, attached, problem: Option<&str>| InterfaceHealth {
            name: name.to_owned(),
            attached,
            mode: attached.then_some(XdpMode::Native),
            problem: problem.map(str::to_owned),
            note: None,
        };
        let mut health = Health::well("2.0.0");
        health.status = HealthStatus::Down;
        health.interfaces = vec![
            interface("eth0", true, None),
            interface("eth1", false, Some("no such interface")),
        ];
        health.rule_problems = (0..6).map(|n| format!("problem {n}")).collect();
        Overview {
            health,
            panic: None,
            daemon: None,
            stats: Some(Stats {
                drop_cidr_count: 1_234_567,
                ..Stats::default()
            }),
            rates: Some([(10.0, 2_048.0), (0.0, 0.0)]),
            tables: Vec::new(),
            tags: vec![TagRate {
                tag: "sshd".to_owned(),
                packets: 1_000,
                rate: 7.0,
            }],
            confirmations: None,
            peers: Some(Vec::new()),
            notifiers: None,
            changes: Some(vec![AuditEntry::new(
                4,
                AuditActor {
                    kind: AuditActorKind::Client,
                    name: Some("web".to_owned()),
                },
                "panic_on",
            )]),
            notes: vec!["without notifiers: the token has no right to read it".to_owned()],
        }
    }

    #[test]
    fn a_line_for_each_part() {
        let mut out = Vec::new();
        status(&overview(), 64, 80, &mut out).unwrap();
        let expected = "\
couic 2.0.0 does NOT filter everywhere.
Problems    problem 0
            problem 1
            problem 2
            problem 3
            and 2 more: couicctl health
Interfaces  eth1 NOT FILTERED: no such interface
            eth0 native
Rules       drop 1,234,567
            ignore 0
Packets     dropped 10/s (2.0 KiB/s), passed 0/s (0 B/s)
Top tags    sshd 7/s (1,000)
Changes     1m ago: client web: panic on
Note        without notifiers: the token has no right to read it
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn narrow_terminals_get_more_lines() {
        let mut out = Vec::new();
        status(&overview(), 0, 40, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.len() <= 40), "{text}");
    }

    #[test]
    fn thousands_are_grouped() {
        let shown = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }
}
