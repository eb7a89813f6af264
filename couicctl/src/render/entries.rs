//! The table of entries, with hits and last match if the daemon has per-rule counters, with owners if it names them, and
//! with reasons if there are any.

use std::{
    fmt::Display,
    io::{self, Write},
};

use couic_common::{Entry, Policy, Reason, RuleOwner};

use super::{Table, style::style};
use crate::duration::remaining;

/// The entries, with the time left at `now` (Unix seconds) as expiration.
pub(crate) fn entries<'a>(
    policy: Policy,
    entries: impl IntoIterator<Item = &'a Entry>,
    now: u64,
) -> Table {
    let mut table: Option<EntryTable> = None;
    for entry in entries {
        let table = table.get_or_insert_with(|| EntryTable::new(policy, entry, now));
        table.add(entry);
    }
    table.map_or_else(|| Table::new(&COLUMNS), |table| table.table)
}

const COLUMNS: [&str; 4] = ["???Policy", "CIDR", "~Tag", "Expiration"];

/// A table of entries of a policy, which may be drawn in parts.
pub(crate) struct EntryTable {
    table: Table,
    policy: Policy,
    counted: bool,
    owned: bool,
    reasoned: bool,
    now: u64,
}

impl EntryTable {
    /// An empty table with the columns that `first` has.
    pub(crate) fn new(policy: Policy, first: &Entry, now: u64) -> Self {
        let (counted, owned) = (first.hits.is_some(), !first.owners.is_empty());
        let reasoned = owned || first.reason.is_some();
        let mut columns = COLUMNS.to_vec();
        // Programs count columns: those that depend on a setting of the daemon are last.
        if owned {
            columns.push("~?Owner");
        }
        if reasoned {
            columns.push("-~?Reason");
        }
        if counted {
            columns.extend(["?Hits", "??Last seen"]);
        }
        Self {
            table: Table::new(&columns),
            policy,
            counted,
            owned,
            reasoned,
            now,
        }
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, entry: &Entry) {
        let tag: &dyn Display = match &entry.tag {
            Some(tag) => tag,
            None => &"",
        };
        let remaining = remaining(entry.expiration, self.now);
        let seen = last_seen(entry.last_seen.unwrap_or(0), self.now);
        let hits = entry.hits.unwrap_or(0);
        let owner = owners(&entry.owners);
        let reason = shortened(entry.reason.as_ref());
        let policy = self.policy.as_str();
        let mut cells: Vec<&dyn Display> = vec![&policy, &entry.cidr, tag, &remaining];
        if self.owned {
            cells.push(&owner);
        }
        if self.reasoned {
            cells.push(&reason);
        }
        if self.counted {
            cells.extend([&hits as &dyn Display, &seen]);
        }
        self.table.row(&cells);
    }

    /// Draws the rows so far and forgets them.
    pub(crate) fn block(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.table.block(out)
    }

    /// Draws the last rows.
    pub(crate) fn end(self, out: &mut dyn Write) -> io::Result<()> {
        self.table.write(out)
    }
}

/// A reason in a column: whole for programs.
fn shortened(reason: Option<&Reason>) -> String {
    let text = reason.map_or("", Reason::as_str);
    if !is_cut(text) {
        return text.to_owned();
    }
    let cut: String = text.chars().take(REASON_WIDTH - 1).collect();
    format!("{cut}…")
}

fn is_cut(text: &str) -> bool {
    style().frame.is_some() && text.chars().count() > REASON_WIDTH
}

/// The most characters of a reason in a table of entries on a terminal.
const REASON_WIDTH: usize = 40;

/// What the table of one entry leaves out: the rest of a long reason, and the claims, if there are several.
pub(crate) fn details(entry: &Entry, now: u64, out: &mut dyn Write) -> io::Result<()> {
    let reason = entry.reason.as_ref();
    if let Some(reason) = reason.filter(|reason| is_cut(reason.as_str())) {
        writeln!(out, "Reason: {reason}")?;
    }
    if entry.owners.len() > 1 {
        claims(&entry.owners, now).write(out)?;
    }
    Ok(())
}

/// The claims of one rule.
fn claims(owners: &[RuleOwner], now: u64) -> Table {
    let reasoned = owners.iter().any(|owner| owner.reason.is_some());
    let columns = ["~Owner", "~Tag", "Expiration", "~Reason"];
    let count = if reasoned { 4 } else { 3 };
    let mut table = Table::new(&columns[..count]);
    for owner in owners {
        let tag = owner.tag.as_ref().map_or("", |tag| tag.as_str());
        let reason = owner.reason.as_ref().map_or("", Reason::as_str);
        let (who, left) = (owner.who(), remaining(owner.expiration, now));
        let cells: [&dyn Display; 4] = [&who, &tag, &left, &reason];
        table.row(&cells[..count]);
    }
    table
}

/// Who holds a rule, each once.
pub(super) fn owners(owners: &[RuleOwner]) -> String {
    /// How many are named.
    const NAMED: usize = 3;
    let mut names: Vec<String> = Vec::new();
    for name in owners.iter().map(RuleOwner::who) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", names.join(", "))
}

/// The age of the last match.
fn last_seen(at: u64, now: u64) -> String {
    match now.saturating_sub(at) {
        _ if at == 0 => "never".to_owned(),
        0 => "now".to_owned(),
        ago => format!("{} ago", remaining(now + ago, now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::drawn;

    #[test]
    fn columns_of_the_contract() {
        let entry = |cidr: &str, tag: &str, expiration| Entry {
            creation: 1,
            cidr: cidr.parse().unwrap(),
            tag: couic_common::Tag::parse(tag).unwrap(),
            expiration,
            hits: None,
            last_seen: None,
            reason: None,
            owners: Vec::new(),
        };
        let list = [
            entry("192.0.2.7/32", "ssh-scan", 1_059),
            entry("2001:db8::/32", "", 0),
        ];
        let expected = "\
┌────────┬───────────────┬──────────┬────────────┐
│ Policy ┆ CIDR          ┆ Tag      ┆ Expiration │
╞════════╪═══════════════╪══════════╪════════════╡
│ drop   ┆ 192.0.2.7/32  ┆ ssh-scan ┆ 59s        │
│ drop   ┆ 2001:db8::/32 ┆          ┆ never      │
└────────┴───────────────┴──────────┴────────────┘
";
        assert_eq!(drawn(entries(Policy::Drop, &list, 1_000)), expected);
    }

    #[test]
    fn hits_where_they_are_counted() {
        let entry = |cidr: &str, hits, last_seen| Entry {
            creation: 1,
            cidr: cidr.parse().unwrap(),
            tag: None,
            expiration: 0,
            hits: Some(hits),
            last_seen: Some(last_seen),
            reason: None,
            owners: Vec::new(),
        };
        let list = [entry("192.0.2.7/32", 12_345, 995), entry("::/0", 0, 0)];
        let expected = "\
┌────────┬──────────────┬─────┬────────────┬───────┬───────────┐
│ Policy ┆ CIDR         ┆ Tag ┆ Expiration ┆ Hits  ┆ Last seen │
╞════════╪══════════════╪═════╪════════════╪═══════╪═══════════╡
│ drop   ┆ 192.0.2.7/32 ┆     ┆ never      ┆ 12345 ┆ 5s ago    │
│ drop   ┆ ::/0         ┆     ┆ never      ┆ 0     ┆ never     │
└────────┴──────────────┴─────┴────────────┴───────┴───────────┘
";
        assert_eq!(drawn(entries(Policy::Drop, &list, 1_000)), expected);
    }

    #[test]
    fn owners_where_the_daemon_names_them() {
        let owner = |kind: &str, name: &str, tag: &str| -> RuleOwner {
            let text =
                serde_json::json!({"kind": kind, "name": name, "tag": tag, "expiration": 1_060});
            serde_json::from_value(text).unwrap()
        };
        let held = vec![
            owner("client", "f2b", "sshd"),
            owner("client", "f2b", "long"),
            owner("peer", "fw2", "x"),
        ];
        let entry = Entry {
            creation: 1,
            cidr: "192.0.2.7/32".parse().unwrap(),
            tag: couic_common::Tag::parse("sshd").unwrap(),
            expiration: 1_060,
            hits: None,
            last_seen: None,
            reason: None,
            owners: held.clone(),
        };
        let expected = "\
┌────────┬──────────────┬──────┬────────────┬──────────────────────┐
│ Policy ┆ CIDR         ┆ Tag  ┆ Expiration ┆ Owner                │
╞════════╪══════════════╪══════╪════════════╪══════════════════════╡
│ drop   ┆ 192.0.2.7/32 ┆ sshd ┆ 1m         ┆ client f2b, peer fw2 │
└────────┴──────────────┴──────┴────────────┴──────────────────────┘
";
        assert_eq!(drawn(entries(Policy::Drop, [&entry], 1_000)), expected);
        let expected = "\
┌────────────┬──────┬────────────┐
│ Owner      ┆ Tag  ┆ Expiration │
╞════════════╪══════╪════════════╡
│ client f2b ┆ sshd ┆ 1m         │
│ client f2b ┆ long ┆ 1m         │
│ peer fw2   ┆ x    ┆ 1m         │
└────────────┴──────┴────────────┘
";
        assert_eq!(drawn(claims(&held, 1_000)), expected);
    }
}
