//! The verdict for an address, and the rules behind it.

use std::{
    fmt::Display,
    io::{self, Write},
    time::{Duration, UNIX_EPOCH},
};

use couic_common::{Entry, Lookup, LookupRule, Policy, Verdict, counted};

use super::{Table, entries::owners};
use crate::{commands::Overlap, duration::remaining};

/// A sentence, then every rule that covers the address, the deciding one first.
pub(crate) fn lookup(lookup: &Lookup, now: u64, out: &mut dyn Write) -> io::Result<()> {
    let Lookup {
        ip,
        verdict,
        decided_by,
        also_covered_by,
        panic,
    } = lookup;
    // While panic is on, the first is the one that would decide. An older daemon implies panic by deciding nothing.
    let mut others = also_covered_by.iter();
    let panic = *panic || decided_by.is_none() && !also_covered_by.is_empty();
    let Some(rule) = decided_by.as_ref().or_else(|| others.next()) else {
        let why = if panic { NOTHING_FILTERED } else { "" };
        return writeln!(out, "{ip} passes: {why}no rule covers it.");
    };
    if panic {
        write!(out, "{ip} passes: {NOTHING_FILTERED}once it is off, ")?;
    } else {
        write!(out, "{ip} ")?;
    }
    let does = match (panic, verdict, rule.policy) {
        (false, Verdict::Drop, _) | (true, _, Policy::Drop) => "is dropped",
        (false, Verdict::Pass, _) | (true, _, Policy::Ignore) => "passes",
    };
    write!(out, "{}{does}: ", if panic { "it " } else { "" })?;
    let cidr = &rule.entry.cidr;
    let outvoted = others.clone().any(|r| r.policy == Policy::Drop);
    if rule.policy == Policy::Ignore && outvoted {
        writeln!(out, "ignore {cidr} beats drop.")?;
    } else {
        writeln!(out, "{} {cidr} decides.", rule.policy)?;
    }
    let rest = others.clone();
    let columns = columns("Decides", &rule.entry);
    let mut table = Table::new(&columns);
    let mut add = |rule, decides| add(&mut table, columns.len(), rule, decides, now);
    add(rule, if panic { "not now" } else { "yes" });
    for rule in others {
        add(rule, "");
    }
    table.write(out)?;
    reasons([rule].into_iter().chain(rest), out)
}

/// Why rules are there, as far as that was given, a line each.
fn reasons<'a>(rules: impl Iterator<Item = &'a LookupRule>, out: &mut dyn Write) -> io::Result<()> {
    for LookupRule { policy, entry } in rules {
        if let Some(reason) = &entry.reason {
            writeln!(out, "Reason of {policy} {}: {reason}", entry.cidr)?;
        }
    }
    Ok(())
}

/// A sentence about a network, then every rule that covers it or lies within.
pub(crate) fn overlap(overlap: &Overlap, now: u64, out: &mut dyn Write) -> io::Result<()> {
    let Overlap { cidr, panic, rules } = overlap;
    let covering = |policy| {
        let mut rules = rules.iter();
        rules.find(|r| r.policy == policy && r.entry.cidr.prefix() <= cidr.prefix())
    };
    let within = |policy| {
        let is_within =
            |r: &&LookupRule| r.policy == policy && r.entry.cidr.prefix() > cidr.prefix();
        rules.iter().filter(is_within).count() as u64
    };
    let some = |policy| {
        let count = counted(within(policy), "rule", "rules");
        format!("{count} of policy {policy} within")
    };
    let verdict = match (covering(Policy::Ignore), covering(Policy::Drop)) {
        (Some(rule), _) => format!("passes: ignore {} covers all of it.", rule.entry.cidr),
        (None, Some(rule)) if within(Policy::Ignore) == 0 => {
            format!("is dropped: drop {} covers all of it.", rule.entry.cidr)
        }
        (None, Some(rule)) => {
            let kept = some(Policy::Ignore);
            format!("is dropped by drop {}, except for {kept}.", rule.entry.cidr)
        }
        (None, None) if within(Policy::Drop) > 0 => {
            format!("passes, except for {}.", some(Policy::Drop))
        }
        (None, None) => "passes: no rule of policy drop covers any of it.".to_owned(),
    };
    if *panic {
        writeln!(
            out,
            "{cidr} passes: {NOTHING_FILTERED}once it is off, it {verdict}"
        )?;
    } else {
        writeln!(out, "{cidr} {verdict}")?;
    }
    if rules.is_empty() {
        return Ok(());
    }
    let columns = columns("Covers", &rules[0].entry);
    let mut table = Table::new(&columns);
    for rule in rules {
        let all = rule.entry.cidr.prefix() <= cidr.prefix();
        let covers = if all { "all" } else { "a part" };
        add(&mut table, columns.len(), rule, covers, now);
    }
    table.write(out)?;
    reasons(rules.iter(), out)
}

/// An older daemon does not name owners.
fn columns(last: &'static str, first: &Entry) -> Vec<&'static str> {
    let mut columns = vec!["Policy", "CIDR", "Tag", "Added", "Expiration", last];
    if !first.owners.is_empty() {
        columns.push("Owner");
    }
    columns
}

/// Why a packet passes while panic is on.
const NOTHING_FILTERED: &str = "panic is on, and nothing is filtered; ";

fn add(table: &mut Table, columns: usize, rule: &LookupRule, decides: &str, now: u64) {
    let LookupRule { policy, entry } = rule;
    let tag = entry.tag.as_ref().map_or("", |t| t.as_str());
    let left = remaining(entry.expiration, now);
    let added = timestamp(entry.creation);
    let policy = policy.as_str();
    let owner = owners(&entry.owners);
    let cells: [&dyn Display; 7] = [&policy, &entry.cidr, &tag, &added, &left, &decides, &owner];
    table.row(&cells[..columns]);
}

/// RFC 3339, UTC. `?` for years after 9999, which it cannot express.
pub(super) fn timestamp(seconds: u64) -> String {
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
            panic: false,
        };
        let mut out = Vec::new();
        lookup(&answer, 1_000_000_000, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn ignore_takes_precedence_over_drop() {
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
    fn under_panic_the_rule_that_would_decide_is_shown() {
        let panicking = |panic, others| {
            let answer = Lookup {
                ip: "192.0.2.7".parse().unwrap(),
                verdict: Verdict::Pass,
                decided_by: None,
                also_covered_by: others,
                panic,
            };
            let mut out = Vec::new();
            lookup(&answer, 1_000_000_000, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let open = "192.0.2.7 passes: panic is on, and nothing is filtered; ";
        assert_eq!(
            panicking(true, vec![]),
            format!("{open}no rule covers it.\n")
        );
        // An older daemon has no field for it.
        for panic in [true, false] {
            let shown = panicking(panic, vec![rule("drop", "192.0.2.0/24")]);
            let then = format!("{open}once it is off, it is dropped: drop 192.0.2.0/24 decides.\n");
            assert!(shown.starts_with(&then), "{shown}");
            assert!(shown.contains("┆ not now │"), "{shown}");
        }
        let both = vec![rule("ignore", "192.0.2.0/24"), rule("drop", "192.0.2.7/32")];
        let shown = panicking(true, both);
        let then = format!("{open}once it is off, it passes: ignore 192.0.2.0/24 beats drop.\n");
        assert!(shown.starts_with(&then), "{shown}");
    }

    #[test]
    fn the_verdict_for_a_network_counts_what_covers_it_and_what_lies_within() {
        let shown = |panic, rules: &[(&str, &str)]| {
            let overlap = Overlap {
                cidr: "192.0.2.0/24".parse().unwrap(),
                panic,
                rules: rules
                    .iter()
                    .map(|(policy, cidr)| rule(policy, cidr))
                    .collect(),
            };
            let mut out = Vec::new();
            super::overlap(&overlap, 1_000_000_000, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let (all, part) = ("192.0.0.0/16", "192.0.2.7/32");
        for (rules, verdict) in [
            (&[][..], "passes: no rule of policy drop covers any of it."),
            (
                &[("ignore", part)],
                "passes: no rule of policy drop covers any of it.",
            ),
            (
                &[("drop", all)],
                "is dropped: drop 192.0.0.0/16 covers all of it.",
            ),
            (
                &[("drop", all), ("ignore", part)],
                "is dropped by drop 192.0.0.0/16, except for 1 rule of policy ignore within.",
            ),
            (
                &[("ignore", all), ("drop", "192.0.2.0/24"), ("drop", part)],
                "passes: ignore 192.0.0.0/16 covers all of it.",
            ),
            (
                &[("drop", part), ("drop", "192.0.2.8/32")],
                "passes, except for 2 rules of policy drop within.",
            ),
        ] {
            let text = shown(false, rules);
            assert!(
                text.starts_with(&format!("192.0.2.0/24 {verdict}\n")),
                "{text}"
            );
            let lines = if rules.is_empty() { 1 } else { 5 + rules.len() };
            assert_eq!(text.lines().count(), lines, "{text}");
            let text = shown(true, rules);
            let open =
                "192.0.2.0/24 passes: panic is on, and nothing is filtered; once it is off, it";
            assert!(text.starts_with(&format!("{open} {verdict}\n")), "{text}");
        }
    }

    #[test]
    fn absurd_times_do_not_panic() {
        assert_eq!(timestamp(u64::MAX), "?");
        assert_eq!(timestamp(253_402_300_800), "?");
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
    }
}
