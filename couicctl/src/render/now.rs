//! What happens to the sources of a rule after it was added or deleted: other rules may decide.

use std::io::{self, Write};

use couic_common::{Cidr, Lookup, LookupRule, Policy, RuleOwner};

/// After an addition: whether it never acts, and whether it ends later than asked for.
pub(crate) fn after_add(
    (policy, cidr, asked): (Policy, Cidr, u64),
    lookup: &Lookup,
    now: u64,
    out: &mut dyn Write,
) -> io::Result<()> {
    let own = rules(lookup).find(|rule| is_rule(rule, policy, cidr));
    if let Some(entry) = own.map(|rule| &rule.entry)
        && entry.expiration != asked
        && entry.owners.len() > 1
    {
        let owners = RuleOwner::list(&entry.owners, now);
        writeln!(out, "It ends when the last of its claims does: {owners}.")?;
    }
    match covering(lookup, cidr) {
        Some(rule) if policy == Policy::Drop && rule.policy == Policy::Ignore => writeln!(
            out,
            "{cidr} is not dropped: {} beats drop. See couicctl check {}.",
            named(rule),
            cidr.addr()
        ),
        _ => Ok(()),
    }
}

/// After a deletion: whether another rule goes on dropping the sources, or drops them now.
pub(crate) fn after_delete(
    (policy, cidr): (Policy, Cidr),
    lookup: &Lookup,
    out: &mut dyn Write,
) -> io::Result<()> {
    let decides = covering(lookup, cidr).filter(|rule| !is_rule(rule, policy, cidr));
    let Some(rule) = decides else { return Ok(()) };
    match (policy, rule.policy) {
        (Policy::Drop, Policy::Drop) => {
            writeln!(out, "{cidr} is still dropped: {} covers it.", named(rule))
        }
        (Policy::Ignore, Policy::Drop) => {
            writeln!(out, "{cidr} is dropped now: {} covers it.", named(rule))
        }
        (Policy::Ignore, Policy::Ignore) => {
            writeln!(out, "{cidr} still passes: {} covers it.", named(rule))
        }
        (Policy::Drop, Policy::Ignore) => Ok(()),
    }
}

/// The rules in the order in which they decide.
fn rules(lookup: &Lookup) -> impl Iterator<Item = &LookupRule> {
    lookup.decided_by.iter().chain(&lookup.also_covered_by)
}

/// The first rule that covers the whole network: of a network the daemon was asked about its first address.
fn covering(lookup: &Lookup, cidr: Cidr) -> Option<&LookupRule> {
    rules(lookup).find(|rule| {
        let net = rule.entry.cidr;
        net.prefix() <= cidr.prefix() && net.contains(cidr.addr())
    })
}

fn is_rule(rule: &LookupRule, policy: Policy, cidr: Cidr) -> bool {
    rule.policy == policy && rule.entry.cidr == cidr
}

fn named(rule: &LookupRule) -> String {
    let LookupRule { policy, entry } = rule;
    match &entry.tag {
        Some(tag) => format!("{policy} {} (tag {tag})", entry.cidr),
        None => format!("{policy} {}", entry.cidr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(rules: serde_json::Value) -> Lookup {
        let mut rules: Vec<LookupRule> = serde_json::from_value(rules).unwrap();
        let first = (!rules.is_empty()).then(|| rules.remove(0));
        Lookup {
            ip: "192.0.2.7".parse().unwrap(),
            verdict: couic_common::Verdict::Pass,
            decided_by: first,
            also_covered_by: rules,
            panic: false,
        }
    }

    fn rule(policy: &str, cidr: &str, expiration: u64) -> serde_json::Value {
        serde_json::json!({"policy": policy, "cidr": cidr, "tag": "t", "creation": 1, "expiration": expiration})
    }

    fn deleted(policy: Policy, cidr: &str, rules: serde_json::Value) -> String {
        let mut out = Vec::new();
        after_delete((policy, cidr.parse().unwrap()), &lookup(rules), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_rule_that_goes_on_deciding_is_named() {
        let json = serde_json::Value::Array;
        let feed = || json(vec![rule("drop", "192.0.2.0/24", 0)]);
        let text = deleted(Policy::Drop, "192.0.2.7/32", feed());
        assert_eq!(
            text,
            "192.0.2.7/32 is still dropped: drop 192.0.2.0/24 (tag t) covers it.\n"
        );
        let text = deleted(Policy::Ignore, "192.0.2.7/32", feed());
        assert_eq!(
            text,
            "192.0.2.7/32 is dropped now: drop 192.0.2.0/24 (tag t) covers it.\n"
        );
        // A part of the network says nothing about the whole, and the rule itself is told otherwise.
        let part = || json(vec![rule("drop", "192.0.2.0/32", 0)]);
        assert_eq!(deleted(Policy::Drop, "192.0.2.0/24", part()), "");
        assert_eq!(deleted(Policy::Drop, "192.0.2.0/24", feed()), "");
        assert_eq!(deleted(Policy::Drop, "192.0.2.7/32", json(vec![])), "");
        let ignored = json(vec![
            rule("ignore", "192.0.0.0/16", 0),
            rule("drop", "192.0.2.0/24", 0),
        ]);
        assert_eq!(
            deleted(Policy::Drop, "192.0.2.7/32", ignored),
            "",
            "it passes"
        );
    }

    #[test]
    fn a_drop_that_never_acts_and_a_longer_claim_are_told() {
        let added = |asked, rules| {
            let mut out = Vec::new();
            let what = (Policy::Drop, "192.0.2.7/32".parse().unwrap(), asked);
            after_add(what, &lookup(rules), 1_000, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let json = serde_json::Value::Array;
        let text = added(
            0,
            json(vec![
                rule("ignore", "192.0.2.0/24", 0),
                rule("drop", "192.0.2.7/32", 0),
            ]),
        );
        assert_eq!(
            text,
            "192.0.2.7/32 is not dropped: ignore 192.0.2.0/24 (tag t) beats drop. See couicctl check 192.0.2.7.\n"
        );
        let mut held = rule("drop", "192.0.2.7/32", 4_600);
        held["owners"] = serde_json::json!([
            {"kind": "client", "name": "b", "tag": null, "expiration": 1_060},
            {"kind": "client", "name": "a", "tag": "t", "expiration": 4_600},
        ]);
        let text = added(1_060, json(vec![held.clone()]));
        assert_eq!(
            text,
            "It ends when the last of its claims does: client b for 1m, client a (tag t) for 1h.\n"
        );
        assert_eq!(added(4_600, json(vec![held])), "");
        assert_eq!(added(0, json(vec![])), "", "an older daemon");
    }
}
