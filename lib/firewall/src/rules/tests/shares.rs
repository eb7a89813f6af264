//! One client or peer beside others: tags, entries, and the time under the lock.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Instant,
};

use super::*;

/// Adds rules until one is refused. Returns how many it added, and why it ended.
fn fill(house: &House, actor: &Actor, base: u32, tagged: bool) -> (u32, FirewallError) {
    for n in 0..20_000 {
        let tag = if tagged {
            format!("{base}-{n}")
        } else {
            String::new()
        };
        let network = format!("{}/32", std::net::Ipv4Addr::from(base + n));
        let job = Job::Add(rule(&network, &tag, 0), None);
        let result = house.firewall.apply(Policy::Drop, vec![job], actor);
        if let Some(Err(error)) = result.into_iter().next() {
            return (n, error);
        }
    }
    panic!("nothing was refused");
}

fn admin() -> Actor {
    Actor::Client("admin".parse().unwrap())
}

#[test]
fn one_client_leaves_tags_and_entries_for_others() {
    for tagged in [true, false] {
        let house = House::with(Limits {
            drop_entries: if tagged { 20_000 } else { 10_000 },
            ignore_entries: 10,
        });
        house.firewall.set_admins(|name| name.as_str() == "admin");
        let (of_peer, error) = fill(&house, &peer().actor, 0x0a00_0000, tagged);
        let what = if tagged { "tags" } else { "IPv4 entries" };
        let says =
            format!("peer p may not take more {what} of drop: it has {of_peer}, and {of_peer} of");
        assert!(error.to_string().starts_with(&says), "{error}");
        let limit = if tagged { 8_191 } else { 10_000 };
        assert!(
            (limit * 7 / 10..limit * 8 / 10 + 2).contains(&of_peer),
            "{of_peer}"
        );
        let (of_client, _) = fill(&house, &client().actor, 0x0b00_0000, tagged);
        assert!(of_client >= limit * 7 / 100, "{of_client}");
        // The last tenth.
        let entries: &[&str] = &["192.0.2.0/24", "198.51.100.0/24"];
        let sets = catalog(&[(Policy::Drop, "list", entries)]);
        house.firewall.replace_sets(&sets).unwrap();
        let (of_admin, error) = fill(&house, &admin(), 0x0c00_0000, tagged);
        assert!(of_admin >= limit / 10 - 2, "{of_admin}");
        assert!(matches!(
            error,
            FirewallError::TooManyTags { .. } | FirewallError::Full { .. }
        ));
        // What others give back is theirs again.
        let pattern = "*".parse().unwrap();
        house
            .firewall
            .remove_by_tag(Policy::Drop, &pattern, false, &peer());
        let (again, _) = fill(&house, &peer().actor, 0x0d00_0000, tagged);
        assert!(again > limit / 2, "{again}");
    }
}

#[test]
fn what_takes_no_place_is_not_refused() {
    let house = House::new();
    let (held, _) = fill(&house, &peer().actor, 0x0a00_0000, false);
    assert_eq!(house.firewall.usage()[0].rules, held as usize);
    let renewed = Job::Add(rule("10.0.0.0/32", "", 9_000), None);
    assert_eq!(house.apply(&peer().actor, renewed), Applied::Updated);
}

#[test]
fn patterns_over_many_tags_hold_nobody_up() {
    let house = House::with(Limits {
        drop_entries: 40_000,
        ignore_entries: 10,
    });
    house.firewall.set_admins(|_| true);
    let jobs = (0..20_000u32).map(|n| {
        let network = format!("{}/32", std::net::Ipv4Addr::from(0x0a00_0000 + n));
        let tag = format!("{}{}", "a".repeat(56), n % 8_000);
        Job::Add(rule(&network, &tag, 0), None)
    });
    house.firewall.apply(Policy::Drop, jobs.collect(), &admin());
    let pattern: Vec<String> = (0..300).map(|n| format!("*a*b{n}")).collect();
    let pattern = pattern.join(",").parse().unwrap();
    let start = Instant::now();
    let filter = house.firewall.tag_filter(Policy::Drop, &pattern);
    let matching = start.elapsed();
    assert!(
        house
            .firewall
            .page(Policy::Drop, None, 5, Some(&filter))
            .is_empty()
    );
    let done = AtomicBool::new(false);
    let longest = thread::scope(|scope| {
        scope.spawn(|| {
            house
                .firewall
                .remove_by_tag(Policy::Drop, &pattern, false, &client());
            done.store(true, Relaxed);
        });
        let mut longest = Duration::ZERO;
        for n in 0.. {
            if done.load(Relaxed) {
                break;
            }
            let network = format!("{}/32", std::net::Ipv4Addr::from(0x0b00_0000 + n % 10_000));
            let start = Instant::now();
            house.apply(&admin(), Job::Add(rule(&network, "b", 0), None));
            longest = longest.max(start.elapsed());
        }
        longest
    });
    assert!(longest < matching / 2, "{longest:?} of {matching:?}");
}
