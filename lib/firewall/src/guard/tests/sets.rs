//! Set files: what comes into force of them.

use couic_common::SetName;

use super::*;
use crate::rules::SetCatalog;

fn catalog(sets: &[(Policy, &str, &[&str])]) -> SetCatalog {
    let set = |(policy, name, entries): &(Policy, &str, &[&str])| {
        let mut entries: Vec<Cidr> = entries.iter().map(|text| cidr(text)).collect();
        entries.sort_unstable();
        ((*policy, name.parse::<SetName>().unwrap()), entries)
    };
    SetCatalog::of(sets.iter().map(set).collect())
}

fn sift(guard: &Guard, firewall: &Firewall, catalog: &mut SetCatalog) -> Vec<(String, Rail)> {
    let check = guard.for_sets_and_peers();
    let (_permit, refused) = check.sift(firewall, catalog).unwrap();
    let named = |entry: &RefusedEntry| {
        let RefusedEntry {
            policy, set, cidr, ..
        } = entry;
        (format!("{policy}/{set} {cidr}"), entry.reason.rail())
    };
    refused.iter().map(named).collect()
}

#[test]
fn entries_that_cut_off_the_host_or_are_cut_are_not_put_in_force() {
    let (guard, firewall) = (guard(false), firewall());
    let feed = [
        "10.0.0.0/8",
        "127.0.0.0/8",
        "128.0.0.0/2",
        "192.0.2.0/24",
        "198.51.100.0/24",
        "2001:db8::/32",
    ];
    let mut sets = catalog(&[
        (Policy::Drop, "feed", &feed),
        (Policy::Ignore, "good", &["198.51.100.7/32", "0.0.0.0/1"]),
    ]);
    let refused = sift(&guard, &firewall, &mut sets);
    let expected = [
        ("drop/feed 128.0.0.0/2", Rail::Width),
        ("ignore/good 0.0.0.0/1", Rail::Width),
        ("drop/feed 192.0.2.0/24", Rail::Host),
        ("drop/feed 2001:db8::/32", Rail::Host),
    ];
    assert_eq!(
        refused,
        expected.map(|(text, rail)| (text.to_owned(), rail))
    );
    let left = ["10.0.0.0/8", "127.0.0.0/8", "198.51.100.0/24"].map(cidr);
    assert_eq!(sets.entries().values().next().unwrap()[..], left);
}

#[test]
fn entries_that_an_ignore_set_or_rule_protects_are_put_in_force() {
    let (guard, firewall) = (guard(false), firewall());
    let net: &[&str] = &["192.0.2.0/24"];
    let mine: &[&str] = &["192.0.2.2/32", "192.0.2.1/32"];
    let mut sets = catalog(&[(Policy::Drop, "feed", net), (Policy::Ignore, "mine", mine)]);
    assert_eq!(sift(&guard, &firewall, &mut sets), []);
    let mut sets = catalog(&[(Policy::Drop, "feed", net)]);
    assert_eq!(sift(&guard, &firewall, &mut sets).len(), 1);
    for own in mine {
        add(&firewall, Policy::Ignore, own, 0);
    }
    let mut sets = catalog(&[(Policy::Drop, "feed", net)]);
    assert_eq!(sift(&guard, &firewall, &mut sets), []);
    add(&firewall, Policy::Ignore, "192.0.2.1/32", NOW + 60);
    assert_eq!(
        sift(&guard, &firewall, &mut sets).len(),
        1,
        "sets never expire"
    );
}

#[test]
fn sets_that_protect_from_a_drop_of_others_do_not_go() {
    let (guard, firewall) = (guard(false), firewall());
    let mut sets = catalog(&[(Policy::Ignore, "mine", &["192.0.2.2/32"])]);
    assert_eq!(sift(&guard, &firewall, &mut sets), []);
    firewall.replace_sets(&sets).unwrap();
    add(&firewall, Policy::Drop, "192.0.2.2/31", 0);
    let check = guard.for_sets_and_peers();
    let refusal = check
        .sift(&firewall, &mut catalog(&[]))
        .unwrap_err()
        .to_string();
    assert!(
        refusal.contains("it protects 192.0.2.2, an address of this host"),
        "{refusal}"
    );
    // If the drop comes from a set, that goes instead.
    assert!(check.sift(&firewall, &mut sets.clone()).is_ok());
}

#[test]
fn a_million_entries_take_a_glance() {
    let (guard, firewall) = (guard(true), firewall());
    let entries: Vec<Cidr> = (0..1_000_000_u32)
        .map(|n| Cidr::host(std::net::Ipv4Addr::from(0x2000_0000 + n).into()))
        .collect();
    let name: SetName = "big".parse().unwrap();
    let mut sets = SetCatalog::of([((Policy::Drop, name), entries)].into());
    let start = Instant::now();
    assert_eq!(sift(&guard, &firewall, &mut sets), []);
    // 5 ms in a release build.
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}
