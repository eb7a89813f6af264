//! Pages, lookups and figures.

use super::*;

#[test]
fn pages_follow_each_other_without_gap_or_repeat() {
    let house = House::with(Limits::default());
    let networks = (0..9000u32).map(|i| rule(&format!("20.0.{}.{}/32", i >> 8, i & 255), "t", 0));
    let sixes = (0..1000).map(|i| rule(&format!("2001:db8:{i:x}::/48"), "", 0));
    let jobs = networks
        .chain(sixes)
        .map(|rule| Job::Add(rule, None))
        .collect();
    house.firewall.apply(Policy::Drop, jobs, &client().actor);
    let mut all = Vec::new();
    loop {
        let page = house
            .firewall
            .page(Policy::Drop, all.last().map(|e: &Entry| e.cidr), 777, None);
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    assert_eq!(all.len(), 10_000);
    assert!(all.is_sorted_by(|a, b| a.cidr < b.cidr));
    let untagged = "untagged".parse().unwrap();
    let untagged = house.firewall.tag_filter(Policy::Drop, &untagged);
    let sixes = house
        .firewall
        .page(Policy::Drop, None, usize::MAX, Some(&untagged));
    assert!(sixes.len() == 1000 && sixes.iter().all(|e| !e.cidr.is_ipv4()));
}

#[test]
fn lookup_explains_the_verdict() {
    let house = House::new();
    for (policy, network) in [
        (Policy::Drop, "10.1.0.0/16"),
        (Policy::Ignore, "10.0.0.0/8"),
        (Policy::Drop, "10.1.2.3/32"),
    ] {
        house
            .firewall
            .add(policy, &rule(network, "", 0), &client())
            .unwrap();
    }
    let lookup = house.firewall.lookup("10.1.2.3".parse().unwrap());
    assert_eq!(lookup.verdict, Verdict::Pass);
    assert_eq!(lookup.decided_by.unwrap().entry.cidr, cidr("10.0.0.0/8"));
    let others: Vec<String> = lookup
        .also_covered_by
        .iter()
        .map(|r| r.entry.cidr.to_string())
        .collect();
    assert_eq!(others, ["10.1.2.3/32", "10.1.0.0/16"]);
    assert_eq!(
        house.firewall.lookup("::1".parse().unwrap()).decided_by,
        None
    );
}

#[test]
fn tag_figures_count_by_the_deciding_rule() {
    let house = House::new();
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "wide", 0), &client())
        .unwrap();
    house
        .firewall
        .add(Policy::Drop, &rule("10.1.0.0/16", "", 0), &client())
        .unwrap();
    house.verdict("10.2.0.1");
    house.verdict("10.1.0.1");
    house.verdict("10.1.0.2");
    let figures = house.firewall.tag_stats(Policy::Drop);
    assert_eq!(
        (figures["wide"].rx_packets, figures["untagged"].rx_packets),
        (1, 2)
    );
    house
        .firewall
        .remove(drop_key("10.0.0.0/8"), &ClaimScope::OWN, &client())
        .unwrap();
    assert_eq!(house.firewall.tag_stats(Policy::Drop)["wide"].rx_packets, 1);
}

#[test]
fn a_rule_is_listed_under_the_tag_of_each_of_its_claims() {
    let house = House::new();
    for tag in ["long", "sshd"] {
        house.apply(&client().actor, Job::Add(rule("10.0.0.0/8", tag, 0), None));
    }
    for (pattern, count) in [("long", 1), ("sshd", 1), ("lo*,web", 1), ("web", 0)] {
        let pattern = pattern.parse().unwrap();
        let filter = house.firewall.tag_filter(Policy::Drop, &pattern);
        let page = house.firewall.page(Policy::Drop, None, 9, Some(&filter));
        assert_eq!(page.len(), count);
    }
}
