//! The claims that nodes share.

use super::*;

fn held(holder: Holder, tag: &str, expiration: u64) -> Held {
    Held {
        holder,
        tag: Tag::parse(tag).unwrap(),
        expiration,
    }
}

fn of_peer(name: &str) -> Holder {
    Holder::Peer(name.parse().unwrap())
}

fn settle(house: &House, seen: Vec<Held>, wanted: Option<Held>) -> Settled {
    let job = Settle {
        cidr: cidr("10.0.0.0/8"),
        seen,
        wanted,
    };
    let mut results = house
        .firewall
        .settle(Policy::Drop, vec![job], &peer().actor);
    results.pop().unwrap()
}

fn seen(house: &House) -> Vec<Held> {
    house.firewall.held(drop_key("10.0.0.0/8")).0
}

#[test]
fn one_claim_takes_the_place_of_all_but_sets() {
    let house = House::new();
    let jobs = || vec![Job::Add(rule("10.0.0.0/8", "a", 0), None)];
    house.firewall.apply(Policy::Drop, jobs(), &client().actor);
    house.firewall.apply(Policy::Drop, jobs(), &peer().actor);
    let entries: &[&str] = &["10.0.0.0/8"];
    house
        .firewall
        .replace_sets(&catalog(&[(Policy::Drop, "s", entries)]))
        .unwrap();
    let before = seen(&house);
    assert_eq!(
        before,
        [held(Holder::Api, "a", 0), held(of_peer("p"), "a", 0)]
    );
    let other = held(of_peer("q"), "b", 2_000);
    assert!(matches!(
        settle(&house, before.clone(), Some(other.clone())),
        Settled::Done(Applied::Updated)
    ));
    assert_eq!(seen(&house), std::slice::from_ref(&other));
    assert!(matches!(settle(&house, before, None), Settled::Moved));
    assert!(matches!(
        settle(&house, vec![other], None),
        Settled::Done(Applied::Removed)
    ));
    assert_eq!(seen(&house), []);
    assert_eq!(house.verdict("10.1.1.1"), Verdict::Drop, "the set's claim");
}

#[test]
fn what_is_refused_changes_nothing() {
    let house = House::with(Limits {
        drop_entries: 0,
        ignore_entries: 1,
    });
    let wanted = |expiration| Some(held(of_peer("q"), "b", expiration));
    assert!(matches!(
        settle(&house, vec![], wanted(0)),
        Settled::Refused(FirewallError::Full { .. })
    ));
    assert!(matches!(
        settle(&house, vec![], wanted(1_000)),
        Settled::Refused(FirewallError::Expired { .. })
    ));
    assert_eq!(seen(&house), []);
    assert!(house.heard().is_empty());
}

#[test]
fn a_change_beneath_what_is_shown_is_told_to_those_who_ask_for_it() {
    let house = House::new();
    let hidden = house.firewall.subscribe_hidden(10);
    let jobs = |tag| vec![Job::Add(rule("10.0.0.0/8", tag, 0), None)];
    house
        .firewall
        .apply(Policy::Drop, jobs("a"), &client().actor);
    assert_eq!(house.heard().len(), 1);
    house.firewall.apply(Policy::Drop, jobs("b"), &peer().actor);
    assert!(house.heard().is_empty());
    let events = hidden.recv_timeout(Duration::ZERO).events;
    let cidrs: Vec<Cidr> = events.iter().map(|event| event.entry.cidr).collect();
    assert_eq!(cidrs, [cidr("10.0.0.0/8")]);
    let page = house.firewall.held_page(Policy::Drop, None, 10);
    assert_eq!(page.len(), 1);
    assert_eq!((page[0].1.len(), page[0].2), (2, 1_000));
}
