//! Sets and their entries.

use couic_common::{Policy, SetBody, SetSummary};

use super::{Table, stats::bytes};

/// Sets with their policies.
pub(crate) fn sets(sets: &[(Policy, &SetSummary)]) -> Table {
    let mut table = Table::new(&["Policy", "Name", ">Entries", ">Size"]);
    for (policy, set) in sets {
        table.row(&[
            &policy.as_str(),
            &set.name,
            &set.entry_count,
            &bytes(set.file_size),
        ]);
    }
    table
}

/// One set.
pub(crate) fn set(policy: Policy, set: &SetBody) -> Table {
    let mut table = Table::new(&["Policy", "Name", "CIDR"]);
    for cidr in &set.entries {
        table.row(&[&policy.as_str(), &set.name, cidr]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::drawn;

    #[test]
    fn lists_and_contents() {
        let list = [SetSummary {
            name: "spamhaus".parse().unwrap(),
            entry_count: 1_500,
            file_size: 23_456,
        }];
        let expected = "\
┌────────┬──────────┬─────────┬──────────┐
│ Policy ┆ Name     ┆ Entries ┆     Size │
╞════════╪══════════╪═════════╪══════════╡
│ drop   ┆ spamhaus ┆    1500 ┆ 22.9 KiB │
└────────┴──────────┴─────────┴──────────┘
";
        assert_eq!(drawn(sets(&[(Policy::Drop, &list[0])])), expected);
        let body = SetBody {
            name: "office".into(),
            entries: vec!["10.0.0.0/8".into()],
            force: false,
            guard: None,
        };
        let expected = "\
┌────────┬────────┬────────────┐
│ Policy ┆ Name   ┆ CIDR       │
╞════════╪════════╪════════════╡
│ ignore ┆ office ┆ 10.0.0.0/8 │
└────────┴────────┴────────────┘
";
        assert_eq!(drawn(set(Policy::Ignore, &body)), expected);
    }
}
