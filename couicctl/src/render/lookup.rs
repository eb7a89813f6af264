//! What happens to an address, and which rules say so.

use std::{
    io::{self, Write},
    time::{Duration, UNIX_EPOCH},
};

use couic_common::{Lookup, LookupRule, Policy, Verdict};

use super::Table;
use crate::duration::remaining;

/// A sentence, then every rule that covers the address, the one that decides first.
pub(crate) fn lookup(lookup: &Lookup, now: u64, out: &mut dyn Write) -> io::Result<()> {
    let Lookup {
        ip,
        verdict,
        decided_by,
        also_covered_by,
    } = lookup;
    let does = match verdict {
        Verdict::Pass => "passes",
        Verdict::Drop => "is dropped",
    };
    let Some(rule) = decided_by else {
        return writeln!(out, "{ip} {does}: no rule covers it.");
    };
    let entry = &rule.entry;
    write!(out, "{ip} {does}: ")?;
    let outvoted = also_covered_by.iter().any(|r| r.policy == Policy::Drop);
    if rule.policy == Policy::Ignore && outvoted {
        write!(out, "ignore {} beats drop", entry.cidr)?;
    } else {
        write!(out, "{} {} decides", rule.policy, entry.cidr)?;
    }
    writeln!(out, ".")?;
    let mut table = Table::new(&["Policy", "CIDR", "Tag", "Added", "Expiration", "Decides"]);
    add(&mut table, rule, true, now);
    for rule in also_covered_by {
        add(&mut table, rule, false, now);
    }
    table.write(out)
}

fn add(table: &mut Table, rule: &LookupRule, decides: bool, now: u64) {
    let LookupRule { policy, entry } = rule;
    let tag = entry.tag.as_ref().map_or("", |t| t.as_str());
    let left = remaining(entry.expiration, now);
    let added = moment(entry.creation);
    let mark = if decides { "yes" } else { "" };
    table.row(&[&policy.as_str(), &entry.cidr, &tag, &added, &left, &mark]);
}

/// RFC 3339, UTC. Years after 9999 have no such form.
pub(super) fn moment(seconds: u64) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_secs(seconds)) {
        Some(time) if seconds < 253_402_300_800 => {
            humantime::format_rfc3339_seconds(time).to_string()
        }
        _ => "?".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(policy: &str, cidr: &str) -> LookupRule {
        serde_json::from_value(serde_json::json!({
            "policy": policy, "cidr": cidr, "tag": "t", "creation": 1_000_000_000, "expiration": 1_000_003_600,
        }))
        .unwrap()
    }

    fn text(verdict: Verdict, decided_by: Option<LookupRule>, others: Vec<LookupRule>) -> String {
        let answer = Lookup {
            ip: "192.0.2.7".parse().unwrap(),
            verdict,
            decided_by,
            also_covered_by: others,
        };
        let mut out = Vec::new();
        lookup(&answer, 1_000_000_000, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn ignore_beats_drop_and_it_says_so() {
        let shown = text(
            Verdict::Pass,
            Some(rule("ignore", "192.0.2.0/24")),
            vec![rule("drop", "192.0.2.7/32")],
        );
        let expected = "\
192.0.2.7 passes: ignore 192.0.2.0/24 beats drop.
┌────────┬──────────────┬─────┬──────────────────────┬────────────┬─────────┐
│ Policy ┆ CIDR         ┆ Tag ┆ Added                ┆ Expiration ┆ Decides │
╞════════╪══════════════╪═════╪══════════════════════╪════════════╪═════════╡
│ ignore ┆ 192.0.2.0/24 ┆ t   ┆ 2001-09-09T01:46:40Z ┆ 1h         ┆ yes     │
│ drop   ┆ 192.0.2.7/32 ┆ t   ┆ 2001-09-09T01:46:40Z ┆ 1h         ┆         │
└────────┴──────────────┴─────┴──────────────────────┴────────────┴─────────┘
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_other_verdicts() {
        let none = text(Verdict::Pass, None, vec![]);
        assert_eq!(none, "192.0.2.7 passes: no rule covers it.\n");
        let dropped = text(Verdict::Drop, Some(rule("drop", "192.0.2.0/24")), vec![]);
        assert!(dropped.starts_with("192.0.2.7 is dropped: drop 192.0.2.0/24 decides.\n"));
        let ignored = text(Verdict::Pass, Some(rule("ignore", "192.0.2.0/24")), vec![]);
        assert!(ignored.starts_with("192.0.2.7 passes: ignore 192.0.2.0/24 decides.\n"));
    }

    #[test]
    fn absurd_times_are_no_panic() {
        assert_eq!(moment(u64::MAX), "?");
        assert_eq!(moment(253_402_300_800), "?");
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
    }
}
