//! The table of entries, with hits and last match if the daemon has per-rule counters.

use std::fmt::Display;

use couic_common::{Entry, Policy};

use super::Table;
use crate::duration::remaining;

/// The entries, with the time left at `now` (Unix seconds) as expiration.
pub(crate) fn entries<'a>(
    policy: Policy,
    entries: impl IntoIterator<Item = &'a Entry>,
    now: u64,
) -> Table {
    let mut entries = entries.into_iter().peekable();
    let counted = entries.peek().is_some_and(|entry| entry.hits.is_some());
    let columns = ["Policy", "CIDR", "Tag", "Expiration", "Hits", "Last seen"];
    let mut table = Table::new(if counted { &columns } else { &columns[..4] });
    for entry in entries {
        let tag: &dyn Display = match &entry.tag {
            Some(tag) => tag,
            None => &"",
        };
        let remaining = remaining(entry.expiration, now);
        let seen = last_seen(entry.last_seen.unwrap_or(0), now);
        let hits = entry.hits.unwrap_or(0);
        let cells: [&dyn Display; 6] =
            [&policy.as_str(), &entry.cidr, tag, &remaining, &hits, &seen];
        table.row(if counted { &cells } else { &cells[..4] });
    }
    table
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
}
