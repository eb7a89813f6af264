//! Tables and tags that are nearly full, for health: adds are refused soon, of clients and peers before those of admins.

use couic_common::{Policy, StateProblem};
use couic_firewall::rules::Firewall;

/// From this part in use on, in percent.
const NEARLY: usize = 90;

/// One problem for each table, and each kind of tags.
pub(super) fn problems(firewall: &Firewall) -> Vec<StateProblem> {
    let tables = firewall.usage().into_iter().filter_map(|table| {
        let (policy, family) = (table.policy, table.family);
        let full = percent(table.rules, table.limit)?;
        Some(format!(
            "the {policy} table for {family} is {full} % full, with {} of {} entries: raise [limits] {policy}_entries and \
             restart, or remove entries",
            table.rules, table.limit
        ))
    });
    let tags = firewall.tag_usage().into_iter().filter_map(|usage| {
        let policy: Policy = usage.policy;
        let full = percent(usage.tags, usage.limit)?;
        Some(format!(
            "{full} % of the tags for {policy} are in use, {} of {}: rules with further tags are refused soon; \
             see couicctl stats {policy} for the tags, and use fewer",
            usage.tags, usage.limit
        ))
    });
    let all = tables.chain(tags);
    all.map(|message| StateProblem {
        file: None,
        message,
    })
    .collect()
}

/// How full it is, if it is nearly full. A limit of a few entries is meant to be reached.
fn percent(used: usize, limit: usize) -> Option<usize> {
    (limit >= 10 && used >= limit.saturating_mul(NEARLY).div_ceil(100)).then(|| used * 100 / limit)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use couic_firewall::{
        dataplane::{Limits, MemoryPlane},
        rules::{Actor, ClaimRequest, Job, ManualClock},
    };

    #[test]
    fn nearly_full_tables_and_tags_are_problems() {
        let plane = MemoryPlane::default();
        let limits = Limits {
            drop_entries: 8_000,
            ignore_entries: 9,
        };
        let clock = Arc::new(ManualClock::new(1_000));
        let firewall = Firewall::new(Box::new(plane.clone()), Arc::new(plane), limits, clock);
        firewall.set_admins(|_| true);
        let admin = Actor::Client("admin".parse().unwrap());
        let add = |policy, from: u32, to: u32| {
            let jobs = (from..to).map(|n| {
                let rule = ClaimRequest {
                    cidr: couic_common::Cidr::host(std::net::Ipv4Addr::from(n).into()),
                    tag: couic_common::Tag::parse(&format!("t{n}")).unwrap(),
                    expiration: 0,
                };
                Job::Add(rule, None)
            });
            let results = firewall.apply(policy, jobs.collect(), &admin);
            assert!(results.iter().all(Result::is_ok));
        };
        add(Policy::Ignore, 0, 9);
        add(Policy::Drop, 0, 7_199);
        assert_eq!(problems(&firewall), []);
        add(Policy::Drop, 7_199, 7_500);
        let told: Vec<String> = (problems(&firewall).into_iter().map(|p| p.message)).collect();
        assert!(told[0].starts_with("the drop table for IPv4 is 93 % full, with 7500 of 8000"));
        assert!(told[1].starts_with("91 % of the tags for drop are in use, 7500 of 8191"));
        assert_eq!(told.len(), 2);
    }
}
