//! The claims that nodes share.

use super::*;

fn claim(owner: Owner, tag: &str, expiration: u64) -> Claim {
    Claim {
        owner,
        tag: Tag::parse(tag).unwrap(),
        expiration,
        creation: 1_000,
        reason: None,
    }
}

fn of_peer(name: &str) -> Owner {
    Owner::Peer(name.parse().unwrap())
}

fn swap(house: &House, expected: Vec<Claim>, wanted: Option<Claim>) -> Swapped {
    let swap = ClaimSwap {
        key: drop_key("10.0.0.0/8"),
        owner: None,
        expected,
        wanted,
    };
    house.firewall.swap(vec![swap], &peer()).remove(0)
}

fn standing(house: &House) -> Vec<Claim> {
    house.firewall.claims(drop_key("10.0.0.0/8")).0
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
    let before = standing(&house);
    assert_eq!(
        before,
        [claim(Owner::Api, "a", 0), claim(of_peer("p"), "a", 0)]
    );
    let other = claim(of_peer("q"), "b", 2_000);
    assert!(matches!(
        swap(&house, before.clone(), Some(other.clone())),
        Swapped::Done(Applied::Updated)
    ));
    assert_eq!(standing(&house), std::slice::from_ref(&other));
    assert!(matches!(swap(&house, before, None), Swapped::Moved));
    assert!(matches!(
        swap(&house, vec![other], None),
        Swapped::Done(Applied::Removed)
    ));
    assert_eq!(standing(&house), []);
    assert_eq!(house.verdict("10.1.1.1"), Verdict::Drop, "the set's claim");
}

#[test]
fn what_is_refused_changes_nothing() {
    let house = House::with(Limits {
        drop_entries: 0,
        ignore_entries: 1,
    });
    let wanted = |expiration| Some(claim(of_peer("q"), "b", expiration));
    assert!(matches!(
        swap(&house, vec![], wanted(0)),
        Swapped::Refused(FirewallError::Full { .. })
    ));
    assert!(matches!(
        swap(&house, vec![], wanted(1_000)),
        Swapped::Refused(FirewallError::Expired { .. })
    ));
    assert_eq!(standing(&house), []);
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
    let page = house.firewall.claims_page(Policy::Drop, None, 10);
    assert_eq!(page.len(), 1);
    assert_eq!((page[0].1.len(), page[0].2), (2, 1_000));
}
