//! The panic switch, and changes that wait to be confirmed.

use std::io::{self, Write};

use couic_common::{Confirmations, PanicStatus, RevertedChange};

use super::{Table, notifiers::ago};
use crate::failure::printable;

/// How it stands, and who did it.
pub(crate) fn panic(status: &PanicStatus, now: u64, out: &mut dyn Write) -> io::Result<()> {
    let state = if status.on {
        "PANIC IS ON: every packet passes, whatever the rules say."
    } else {
        "Panic is off: the rules hold."
    };
    writeln!(out, "{state}")?;
    if let (Some(by), Some(since)) = (&status.by, status.since) {
        writeln!(out, "Switched by {by}, {}.", ago(since, now))?;
    }
    if let Some(reason) = &status.reason {
        writeln!(out, "Reason: {}", printable(reason))?;
    }
    if let Some(problem) = &status.problem {
        writeln!(out, "Problem: {}", printable(problem))?;
    }
    Ok(())
}

/// What waits as a table, and what was undone as lines.
pub(crate) fn confirmations(all: &Confirmations, now: u64, out: &mut dyn Write) -> io::Result<()> {
    if all.pending.is_empty() {
        writeln!(out, "Nothing waits to be confirmed.")?;
    } else {
        let mut table = Table::new(&["Id", "Client", "Change", ">Rules", "Sets", ">Undone in"]);
        for change in &all.pending {
            let (sets, left) = (change.sets.join(", "), format!("{} s", change.left));
            table.row(&[
                &change.id,
                &change.client,
                &change.summary,
                &change.rules,
                &sets,
                &left,
            ]);
        }
        table.write(out)?;
    }
    for change in &all.pending {
        if let Some(problem) = &change.problem {
            writeln!(
                out,
                "{} cannot be undone yet: {}",
                change.id,
                printable(problem)
            )?;
        }
    }
    all.reverted
        .iter()
        .try_for_each(|change| undone(change, now, out))
}

/// What was undone.
pub(crate) fn undone(change: &RevertedChange, now: u64, out: &mut dyn Write) -> io::Result<()> {
    let RevertedChange {
        id,
        client,
        summary,
        at,
        restored,
        left_alone,
    } = change;
    let things = if *restored == 1 {
        "thing is"
    } else {
        "things are"
    };
    writeln!(
        out,
        "{id} of {client} ({}) was undone {}: {restored} {things} as before.",
        printable(summary),
        ago(*at, now)
    )?;
    for name in left_alone {
        writeln!(
            out,
            "  left alone, since somebody changed it afterwards: {}",
            printable(name)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use couic_common::{ConfirmId, PendingChange};

    use super::*;

    fn drawn(draw: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        draw(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn who_switched_and_why() {
        let on = PanicStatus {
            on: true,
            by: Some("ops".parse().unwrap()),
            since: Some(940),
            reason: Some("locked\u{1b} out".into()),
            problem: Some("no disk".into()),
        };
        let text = drawn(|out| panic(&on, 1_000, out));
        assert!(text.starts_with("PANIC IS ON: "), "{text}");
        assert!(
            text.contains("Switched by ops, ") && text.contains("Reason: locked? out"),
            "{text}"
        );
        assert!(text.ends_with("Problem: no disk\n"), "{text}");
        let off = drawn(|out| panic(&PanicStatus::default(), 1_000, out));
        assert_eq!(off, "Panic is off: the rules hold.\n");
    }

    #[test]
    fn what_waits_and_what_was_undone() {
        let empty = drawn(|out| confirmations(&Confirmations::default(), 0, out));
        assert_eq!(empty, "Nothing waits to be confirmed.\n");
        let all = Confirmations {
            pending: vec![PendingChange {
                id: ConfirmId::new(1),
                client: "ops".parse().unwrap(),
                summary: "sets reload".into(),
                made: 0,
                until: 60,
                left: 42,
                rules: 0,
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
        };
        let text = drawn(|out| confirmations(&all, 1_000, out));
        assert!(
            text.contains(
                "│ 00000001 ┆ ops    ┆ sets reload ┆     0 ┆ drop/a, drop/b ┆      42 s │"
            ),
            "{text}"
        );
        assert!(
            text.contains("00000001 cannot be undone yet: disk full"),
            "{text}"
        );
        assert!(
            text.contains("00000002 of ops (drop batch) was undone")
                && text.contains("1 thing is as before"),
            "{text}"
        );
        assert!(text.contains("afterwards: drop 192.0.2.1/32"), "{text}");
    }
}
