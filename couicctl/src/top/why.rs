//! The verdict for an address in words: which rule decides, whose it is, until when, and why.

use couic_common::{Lookup, LookupRule, Policy, RuleOwner, UNTAGGED, Verdict};

use crate::duration::remaining;

/// The lines, at this time (Unix seconds by the daemon's clock).
pub(super) fn lines(lookup: &Lookup, now: u64) -> Vec<String> {
    let Lookup {
        ip,
        verdict,
        decided_by,
        also_covered_by,
        panic,
    } = lookup;
    let verdict = match (panic, verdict, decided_by) {
        (true, ..) => format!("{ip} passes: PANIC IS ON, and nothing is filtered."),
        (_, Verdict::Drop, Some(rule)) => {
            format!("{ip} is dropped by drop {}.", rule.entry.cidr)
        }
        (_, _, Some(rule)) => format!("{ip} passes: ignore {} covers it.", rule.entry.cidr),
        (_, Verdict::Drop, None) => format!("{ip} is dropped."),
        (_, Verdict::Pass, None) => format!("{ip} passes: no rule covers it."),
    };
    let mut lines = vec![verdict];
    for rule in decided_by.iter().chain(also_covered_by) {
        lines.push(String::new());
        lines.extend(of_rule(rule, now));
    }
    lines
}

fn of_rule(rule: &LookupRule, now: u64) -> Vec<String> {
    let LookupRule { policy, entry } = rule;
    let tag = entry.tag.as_ref().map_or(UNTAGGED, |tag| tag.as_str());
    let ends = match entry.expiration {
        0 => "without end".to_owned(),
        end => format!("for another {}", remaining(end, now)),
    };
    let added = remaining(now.saturating_sub(entry.creation).max(1), 0);
    let mut lines = vec![
        format!("{policy} {}  tag {tag}", entry.cidr),
        format!("  added {added} ago, in force {ends}"),
    ];
    if let Some(hits) = entry.hits {
        let seen = entry.last_seen.filter(|at| *at > 0);
        let last = seen.map_or_else(String::new, |at| {
            format!(
                ", the last {} ago",
                remaining(now.saturating_sub(at).max(1), 0)
            )
        });
        lines.push(format!("  {hits} hits{last}"));
    }
    if !entry.owners.is_empty() {
        lines.push(format!("  held by {}", RuleOwner::list(&entry.owners, now)));
    }
    let reason = entry.reason.as_ref();
    lines.extend(reason.map(|reason| format!("  reason: {reason}")));
    if *policy == Policy::Ignore {
        lines.push("  ignore beats drop".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_its_owner_and_the_rest() {
        let lookup: Lookup = serde_json::from_value(serde_json::json!({
            "ip": "192.0.2.7", "verdict": "drop",
            "decided_by": {
                "policy": "drop", "cidr": "192.0.2.0/24", "tag": "scan", "creation": 900, "expiration": 4_600,
                "hits": 12, "last_seen": 998,
                "owners": [{"kind": "client", "name": "web", "tag": "scan", "expiration": 4_600}],
            },
            "also_covered_by": [
                {"policy": "drop", "cidr": "192.0.0.0/16", "tag": null, "creation": 900, "expiration": 0},
            ],
        }))
        .unwrap();
        let expected = "\
192.0.2.7 is dropped by drop 192.0.2.0/24.

drop 192.0.2.0/24  tag scan
  added 1m 40s ago, in force for another 1h
  12 hits, the last 2s ago
  held by client web (tag scan) for 1h

drop 192.0.0.0/16  tag untagged
  added 1m 40s ago, in force without end";
        assert_eq!(lines(&lookup, 1_000).join("\n"), expected);
    }
}
