//! The panic switch, and changes that await confirmation.

use std::io::{self, Write};

use couic_common::{Confirmations, PanicStatus, PendingChange, RevertedChange, counted};

use super::{Table, notifiers::ago};
use crate::{duration::remaining, failure::printable};

/// State, time, client and reason; and the problem, unless the caller reports it.
pub(crate) fn panic(
    status: &PanicStatus,
    with_problem: bool,
    now: u64,
    out: &mut dyn Write,
) -> io::Result<()> {
    let state = if status.on {
        "PANIC IS ON: every packet passes, regardless of the rules."
    } else {
        "Panic is off: the rules are in force."
    };
    writeln!(out, "{state}")?;
    if let (Some(by), Some(since)) = (&status.by, status.since) {
        writeln!(out, "Switched by {by}, {}.", ago(since, now))?;
    }
    if let Some(reason) = &status.reason {
        writeln!(out, "Reason: {}", printable(reason))?;
    }
    if let Some(problem) = status.problem.as_ref().filter(|_| with_problem) {
        writeln!(out, "Problem: {}", printable(problem))?;
    }
    Ok(())
}

/// Pending changes as a table, then a line for each undone change and each problem. The problems include the pending
/// changes that cannot be undone.
pub(crate) fn confirmations(all: &Confirmations, now: u64, out: &mut dyn Write) -> io::Result<()> {
    if !all.pending.is_empty() {
        let mut table = Table::new(&[
            "Id",
            "~Client",
            "~Change",
            "~Affects",
            "?Made",
            ">Undone in",
        ]);
        for change in &all.pending {
            table.row(&[
                &change.id,
                &change.client,
                &change.summary,
                &scope(change),
                &ago(change.made, now),
                &time_left(change.left),
            ]);
        }
        table.write(out)?;
    }
    for change in &all.reverted {
        undone(change, now, out)?;
    }
    for problem in &all.problems {
        writeln!(out, "Problem: {}", printable(problem))?;
    }
    Ok(())
}

/// Time left, never shown as zero.
fn time_left(left: u64) -> String {
    match left {
        0 => "a moment".to_owned(),
        left => remaining(left, 0),
    }
}

/// The scope of a change, as `3 rules (2 added, 1 changed); set drop/a`.
fn scope(change: &PendingChange) -> String {
    let PendingChange {
        rules,
        added,
        removed,
        sets,
        ..
    } = change;
    let changed = rules.saturating_sub(added.saturating_add(*removed));
    let ways = [
        (*added, "added"),
        (*removed, "removed"),
        (changed, "changed"),
    ];
    let ways: Vec<String> = ways
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, way)| format!("{count} {way}"))
        .collect();
    let mut parts = Vec::new();
    if *rules > 0 {
        let rules = counted(*rules, "rule", "rules");
        parts.push(format!("{rules} ({})", ways.join(", ")));
    }
    if !sets.is_empty() {
        let noun = if sets.len() == 1 { "set" } else { "sets" };
        parts.push(format!("{noun} {}", sets.join(", ")));
    }
    parts.join("; ")
}

/// One undone change.
pub(crate) fn undone(change: &RevertedChange, now: u64, out: &mut dyn Write) -> io::Result<()> {
    let RevertedChange {
        id,
        client,
        summary,
        at,
        restored,
        left_alone,
    } = change;
    let items = counted(*restored, "item was", "items were");
    writeln!(
        out,
        "{id} of {client} ({}) was undone {}: {items} restored.",
        printable(summary),
        ago(*at, now)
    )?;
    for name in left_alone {
        writeln!(
            out,
            "  not restored, because it was changed afterwards: {}",
            printable(name)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use couic_common::ConfirmId;

    use super::*;

    fn drawn(draw: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        draw(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn panic_is_shown_with_client_and_reason() {
        let on = PanicStatus {
            on: true,
            by: Some("ops".parse().unwrap()),
            since: Some(940),
            reason: Some("locked\u{1b} out".into()),
            problem: Some("no disk".into()),
        };
        let text = drawn(|out| panic(&on, true, 1_000, out));
        assert!(text.starts_with("PANIC IS ON: "), "{text}");
        assert!(
            text.contains("Switched by ops, ") && text.contains("Reason: locked? out"),
            "{text}"
        );
        assert!(text.ends_with("Problem: no disk\n"), "{text}");
        let switched = drawn(|out| panic(&on, false, 1_000, out));
        assert!(text.starts_with(&switched) && !switched.contains("disk"));
        let off = drawn(|out| panic(&PanicStatus::default(), true, 1_000, out));
        assert_eq!(off, "Panic is off: the rules are in force.\n");
    }

    #[test]
    fn pending_and_undone_changes() {
        let all = Confirmations {
            pending: vec![PendingChange {
                id: ConfirmId::new(1),
                client: "ops".parse().unwrap(),
                summary: "sets reload".into(),
                made: 0,
                until: 60,
                left: 42,
                rules: 0,
                added: 0,
                removed: 0,
                sets: vec!["drop/a".into(), "drop/b".into()],
                problem: Some("disk full".into()),
            }],
            reverted: vec![RevertedChange {
                id: ConfirmId::new(2),
                client: "ops".parse().unwrap(),
                summary: "drop batch".into(),
                at: 990,
                restored: 1,
                left_alone: vec!["drop 192.0.2.1/32".into()],
            }],
            problems: vec![
                "ops's change 00000001 cannot be undone, and is tried again: disk full".into(),
                "sets/drop/s.couic is NOT\u{1b} in force".into(),
            ],
        };
        let text = drawn(|out| confirmations(&all, 1_000, out));
        assert!(
            text.contains(
                "│ 00000001 ┆ ops    ┆ sets reload ┆ sets drop/a, drop/b ┆ 16m 40s ago ┆       42s │"
            ),
            "{text}"
        );
        assert!(
            text.contains("00000002 of ops (drop batch) was undone")
                && text.contains("1 item was restored"),
            "{text}"
        );
        assert!(text.contains("afterwards: drop 192.0.2.1/32"), "{text}");
        let end = "\nProblem: sets/drop/s.couic is NOT? in force\n";
        assert!(text.ends_with(end), "{text}");
        assert_eq!(text.matches("disk full").count(), 1, "{text}");
    }

    #[test]
    fn time_left_is_never_zero() {
        assert_eq!([0, 1, 3_600].map(time_left), ["a moment", "1s", "1h"]);
    }

    #[test]
    fn the_scope_of_a_change() {
        let shown = |rules, added, removed, sets: &[&str]| {
            scope(&PendingChange {
                id: ConfirmId::new(1),
                client: "ops".parse().unwrap(),
                summary: "drop batch".into(),
                made: 0,
                until: 60,
                left: 42,
                rules,
                added,
                removed,
                sets: sets.iter().map(ToString::to_string).collect(),
                problem: None,
            })
        };
        assert_eq!(shown(1, 1, 0, &[]), "1 rule (1 added)");
        assert_eq!(
            shown(6, 3, 2, &[]),
            "6 rules (3 added, 2 removed, 1 changed)"
        );
        assert_eq!(shown(0, 0, 0, &["drop/a"]), "set drop/a");
        assert_eq!(shown(0, 0, 0, &[]), "");
    }
}
