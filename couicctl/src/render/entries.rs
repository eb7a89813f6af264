//! Entries: Policy, CIDR, Tag, Expiration.

use std::fmt::Display;

use couic_common::{Entry, Policy};

use super::Table;
use crate::duration::remaining;

/// The entries, their expiration as what remains at `now` (Unix seconds).
pub(crate) fn entries<'a>(
    policy: Policy,
    entries: impl IntoIterator<Item = &'a Entry>,
    now: u64,
) -> Table {
    let mut table = Table::new(&["Policy", "CIDR", "Tag", "Expiration"]);
    for entry in entries {
        let tag: &dyn Display = match &entry.tag {
            Some(tag) => tag,
            None => &"",
        };
        table.row(&[
            &policy.as_str(),
            &entry.cidr,
            tag,
            &remaining(entry.expiration, now),
        ]);
    }
    table
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
}
