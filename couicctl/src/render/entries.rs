//! The table of entries, with hits and last match if the daemon has per-rule counters, with owners if it names them, and
//! with reasons if there are any.

use std::{
    fmt::Display,
    io::{self, Write},
};

use couic_common::{Entry, Policy, Reason, RuleOwner};

use super::Table;
use crate::duration::remaining;

/// The entries, with the time left at `now` (Unix seconds) as expiration.
pub(crate) fn entries<'a>(
    policy: Policy,
    entries: impl IntoIterator<Item = &'a Entry>,
    now: u64,
) -> Table {
    let entries: Vec<&Entry> = entries.into_iter().collect();
    let first = entries.first();
    let counted = first.is_some_and(|entry| entry.hits.is_some());
    let owned = first.is_some_and(|entry| !entry.owners.is_empty());
    let mut columns = vec!["Policy", "CIDR", "Tag", "Expiration"];
    if counted {
        columns.extend(["Hits", "Last seen"]);
    }
    if owned {
        columns.push("Owner");
    }
    let reasoned = entries.iter().any(|entry| entry.reason.is_some());
    if reasoned {
        columns.push("Reason");
    }
    let mut table = Table::new(&columns);
    for entry in entries {
        let tag: &dyn Display = match &entry.tag {
            Some(tag) => tag,
            None => &"",
        };
        let remaining = remaining(entry.expiration, now);
        let seen = last_seen(entry.last_seen.unwrap_or(0), now);
        let hits = entry.hits.unwrap_or(0);
        let owner = owners(&entry.owners);
        let reason = shortened(entry.reason.as_ref());
        let policy = policy.as_str();
        let mut cells: Vec<&dyn Display> = vec![&policy, &entry.cidr, tag, &remaining];
        if counted {
            cells.extend([&hits as &dyn Display, &seen]);
        }
        if owned {
            cells.push(&owner);
        }
        if reasoned {
            cells.push(&reason);
        }
        table.row(&cells);
    }
    table
}

/// A reason in a column.
fn shortened(reason: Option<&Reason>) -> String {
    let text = reason.map_or("", Reason::as_str);
    if text.chars().count() <= REASON_WIDTH {
        return text.to_owned();
    }
    let cut: String = text.chars().take(REASON_WIDTH - 1).collect();
    format!("{cut}…")
}

/// The most characters of a reason in a table of entries.
const REASON_WIDTH: usize = 40;

/// What the table of one entry leaves out: the rest of a long reason, and the claims, if there are several.
pub(crate) fn details(entry: &Entry, now: u64, out: &mut dyn Write) -> io::Result<()> {
    let is_cut = |reason: &&Reason| reason.as_str().chars().count() > REASON_WIDTH;
    if let Some(reason) = entry.reason.as_ref().filter(is_cut) {
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
    let columns = ["Owner", "Tag", "Expiration", "Reason"];
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
        assert_eq!(drawn(&entries(Policy::Drop, &list, 1_000)), expected);
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
        assert_eq!(drawn(&entries(Policy::Drop, &list, 1_000)), expected);
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
        assert_eq!(drawn(&entries(Policy::Drop, [&entry], 1_000)), expected);
        let expected = "\
┌────────────┬──────┬────────────┐
│ Owner      ┆ Tag  ┆ Expiration │
╞════════════╪══════╪════════════╡
│ client f2b ┆ sshd ┆ 1m         │
│ client f2b ┆ long ┆ 1m         │
│ peer fw2   ┆ x    ┆ 1m         │
└────────────┴──────┴────────────┘
";
        assert_eq!(drawn(&claims(&held, 1_000)), expected);
    }
}
