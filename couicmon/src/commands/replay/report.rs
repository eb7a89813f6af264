//! What a replay found, as tables or JSON.

use std::io::{self, Write};

use couic_common::{grouped, time_left};
use couic_detect::JailAccount;
use couic_tail::Figures;
use serde_json::{Value, json};

use super::{
    limit::honest,
    run::{Banned, Run},
};
use crate::commands::table::Table;

/// Figures of all files.
pub(super) struct Report<'r> {
    run: &'r Run,
    done: &'r Figures,
    pub(super) jails: Vec<JailAccount>,
}

impl<'r> Report<'r> {
    pub(super) fn of(run: &'r mut Run, done: &'r Figures) -> Self {
        let jails = run.account();
        Self { run, done, jails }
    }

    pub(super) fn text(&self, out: &mut dyn Write, bans: bool) -> io::Result<()> {
        for (file, source, format) in &self.run.read_as {
            writeln!(
                out,
                "{}: read as source {source}, format {format}",
                file.replace(char::is_control, "?")
            )?;
        }
        let clock = &self.run.clock;
        let (first, last) = (time(clock.first), time(clock.now()));
        writeln!(
            out,
            "{} from {first} to {last}",
            many(self.done.lines, "line")
        )?;
        for warning in self.warnings() {
            writeln!(out, "{warning}")?;
        }
        writeln!(out)?;
        self.table(out)?;
        self.collateral(out)?;
        if bans {
            writeln!(out)?;
            self.bans(out)?;
        }
        Ok(())
    }

    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new(&[
            "Jail",
            ">Hits",
            ">Bans",
            ">Networks",
            ">Held",
            "First ban",
            ">Stopped",
            ">Share",
            ">Collateral",
        ]);
        for jail in &self.jails {
            let shadow = if jail.shadow { " (shadow)" } else { "" };
            table.row([
                format!("{}{shadow}", jail.jail),
                grouped(jail.hits),
                grouped(jail.bans),
                grouped(jail.widened),
                grouped(jail.held),
                time(jail.first_ban_ms),
                grouped(jail.stopped),
                format!("{:.1} %", 100.0 * jail.share),
                grouped(honest(jail)),
            ]);
        }
        table.write(out)
    }

    fn collateral(&self, out: &mut dyn Write) -> io::Result<()> {
        for jail in &self.jails {
            let of = &jail.collateral;
            if honest(jail) > 0 {
                let examples = of
                    .examples
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ");
                writeln!(
                    out,
                    "{}: of its banned sources, {} also made good requests ({} of them would have been stopped), {} logged in: {examples}",
                    jail.jail,
                    grouped(of.good_sources),
                    grouped(of.good_stopped),
                    grouped(of.logged_in),
                )?;
            }
            if jail.asked > 0 {
                writeln!(
                    out,
                    "{}: {} with the name of a search engine's crawler. A replay asks nobody; the service does, and does not ban \
                     the real ones",
                    jail.jail,
                    many(jail.asked, "source")
                )?;
            }
        }
        let forgotten = self
            .jails
            .iter()
            .map(|jail| jail.collateral.forgotten)
            .max()
            .unwrap_or(0);
        if forgotten > 0 {
            writeln!(
                out,
                "more sources than can be remembered, by {}: the collateral may be higher",
                grouped(forgotten)
            )?;
        }
        Ok(())
    }

    fn bans(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new(&["Time", "Network", "Jail", ">For", ">Level", "State", "Line"]);
        for banned in self.run.bans.iter().flatten() {
            let ban = &banned.ban;
            table.row([
                time(Some(banned.time_ms)),
                ban.cidr.to_string(),
                ban.jail.to_string(),
                time_left(ban.length.as_secs()),
                ban.level.to_string(),
                state(banned),
                ban.sample.clone(),
            ]);
        }
        table.write(out)?;
        if self.run.more_bans > 0 {
            writeln!(out, "and {} more", grouped(self.run.more_bans))?;
        }
        Ok(())
    }

    /// What makes the figures worth less.
    fn warnings(&self) -> Vec<String> {
        let (unread, clock) = (&self.run.unread, &self.run.clock);
        let counts = [
            (
                unread.irrelevant,
                "no client in it: other programs, messages of the server",
            ),
            (unread.malformed, "not of the format"),
            (unread.no_address, "no address of a client in it"),
            (
                unread.ambiguous,
                "left out, since text of the client could be taken for its address",
            ),
            (
                self.done.cut_lines,
                "left out, since longer than 128 KiB or cut off",
            ),
            (
                clock.undated,
                "no time that is known: counted as at the time of the line before",
            ),
            (
                self.run.unjudged,
                "before the first time, and so not judged",
            ),
        ];
        let told = counts.iter().filter(|(count, _)| *count > 0);
        let mut all: Vec<String> = told
            .map(|(count, what)| match count {
                1 => format!("1 line: {what}"),
                _ => format!("{} lines: {what}", grouped(*count)),
            })
            .collect();
        if let Some(sample) = &unread.sample {
            all.push(format!("one of the lines that could not be read: {sample}"));
        }
        if clock.backwards > 0 {
            all.push(format!(
                "time went back by more than a day ({}): give files in the order of time",
                couic_common::counted(clock.backwards, "time", "times")
            ));
        }
        all
    }

    pub(super) fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        let files = self.run.read_as.iter();
        let files = files.map(
            |(file, source, format)| json!({ "file": file, "source": source, "format": format }),
        );
        let unread = &self.run.unread;
        let bans = self.run.bans.iter().flatten().map(ban_json);
        let mut value = json!({
            "files": files.collect::<Vec<_>>(),
            "lines": self.done.lines,
            "bytes": self.done.bytes,
            "first_ms": self.run.clock.first,
            "last_ms": self.run.clock.now(),
            "irrelevant": unread.irrelevant,
            "malformed": unread.malformed,
            "no_address": unread.no_address,
            "ambiguous": unread.ambiguous,
            "cut": self.done.cut_lines,
            "undated": self.run.clock.undated,
            "unjudged": self.run.unjudged,
            "jails": self.jails.iter().map(jail_json).collect::<Vec<_>>(),
        });
        if self.run.bans.is_some() {
            value["bans"] = bans.collect();
            value["more_bans"] = self.run.more_bans.into();
        }
        writeln!(out, "{value:#}")
    }
}

fn jail_json(jail: &JailAccount) -> Value {
    let of = &jail.collateral;
    json!({
        "jail": &*jail.jail,
        "shadow": jail.shadow,
        "hits": jail.hits,
        "bans": jail.bans,
        "widened": jail.widened,
        "held": jail.held,
        "asked": jail.asked,
        "first_ban_ms": jail.first_ban_ms,
        "stopped": jail.stopped,
        "share": jail.share,
        "collateral": {
            "sources": honest(jail),
            "good_sources": of.good_sources,
            "good_requests": of.good_requests,
            "good_stopped": of.good_stopped,
            "logged_in": of.logged_in,
            "examples": of.examples,
            "forgotten": of.forgotten,
        },
    })
}

fn ban_json(banned: &Banned) -> Value {
    let ban = &banned.ban;
    json!({
        "time_ms": banned.time_ms,
        "cidr": ban.cidr.to_string(),
        "jail": &*ban.jail,
        "seconds": ban.length.as_secs(),
        "level": ban.level,
        "shadow": banned.shadow,
        "held": banned.held,
        "neighbours": ban.neighbours,
        "sample": ban.sample,
    })
}

fn state(banned: &Banned) -> String {
    match &banned.held {
        Some(why) => format!("held back: {why}"),
        None if banned.shadow => "shadow".into(),
        None => "ban".into(),
    }
}

/// A number of things.
fn many(count: u64, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{} {one}s", grouped(count)),
    }
}

/// UTC, so that it can be compared whatever the log's zone is.
fn time(ms: Option<i64>) -> String {
    let since = ms
        .and_then(|ms| u64::try_from(ms).ok())
        .map(std::time::Duration::from_millis);
    let time = since.and_then(|since| std::time::UNIX_EPOCH.checked_add(since));
    time.map_or_else(
        || "-".into(),
        |time| humantime::format_rfc3339_seconds(time).to_string(),
    )
}
