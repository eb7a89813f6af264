//! The status as text.

use std::io::{self, Write};

use couic_common::{counted, time_left, unix_seconds};

use crate::run::{Feed, Status};

/// Which part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    All,
    Feeds,
}

/// Prints it: what comes from outside, without control characters.
pub(super) fn show(status: &Status, what: Shown, out: &mut dyn Write) -> io::Result<()> {
    if what == Shown::All {
        writeln!(out, "{}  couic-bouncer {}", status.status, status.version)?;
        for problem in &status.problems {
            writeln!(out, "  {}", clean(problem))?;
        }
        crowdsec(status, out)?;
        let daemon = &status.daemon;
        writeln!(
            out,
            "daemon    {} taken, {} refused, {} wait",
            counted(daemon.applied, "change", "changes"),
            daemon.refused,
            daemon.pending
        )?;
    }
    feeds(&status.feeds, out)
}

fn crowdsec(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    let Some(crowdsec) = &status.crowdsec else {
        return Ok(());
    };
    let ago = |at: u64| format!("{} ago", time_left(unix_seconds().saturating_sub(at)));
    writeln!(
        out,
        "crowdsec  {}: {}, last answer {}; {}, {}{}{}",
        clean(&crowdsec.url),
        if crowdsec.connected {
            "connected"
        } else {
            "not connected"
        },
        crowdsec.last_success.map_or("never".to_owned(), ago),
        counted(crowdsec.decisions, "decision", "decisions"),
        counted(crowdsec.claims, "claim", "claims"),
        match crowdsec.ignored {
            0 => String::new(),
            count => format!(", {count} ignored"),
        },
        reasons(&crowdsec.skipped, "not taken"),
    )
}

fn feeds(feeds: &[Feed], out: &mut dyn Write) -> io::Result<()> {
    let width = |of: fn(&Feed) -> usize| feeds.iter().map(of).max().unwrap_or(0);
    let (names, states) = (
        width(|feed| feed.name.len()),
        width(|feed| feed.state.len()),
    );
    for feed in feeds {
        let list = match feed.age_seconds {
            Some(age) => format!("{:>9} networks  {} old", feed.networks, time_left(age)),
            None => "no list yet".to_owned(),
        };
        writeln!(
            out,
            "feed      {:names$}  {:states$}  {:6}  {list}{}",
            feed.name,
            feed.state,
            feed.policy,
            reasons(&feed.dropped, "left out"),
        )?;
        if let Some(why) = &feed.why {
            writeln!(out, "            {}", clean(why))?;
        }
        if let Some(hash) = &feed.held {
            writeln!(
                out,
                "            couic-bouncer feeds accept {} {hash}  takes it",
                feed.name
            )?;
        }
    }
    Ok(())
}

fn reasons(counts: &std::collections::BTreeMap<String, u64>, what: &str) -> String {
    let some = counts.iter().filter(|(_, count)| **count > 0);
    let words: Vec<String> = some.map(|(why, count)| format!("{count} {why}")).collect();
    match words.is_empty() {
        true => String::new(),
        false => format!("; {what}: {}", words.join(", ")),
    }
}

fn clean(text: &str) -> String {
    text.replace(char::is_control, " ")
}
