//! Claims of the API, of peers and of sets on the same rule.

use super::*;

#[test]
fn peers_and_the_api_do_not_take_each_others_claims() {
    let house = House::new();
    let actor = peer().actor;
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "api", 0), &client())
        .unwrap();
    let by_peer = |job| house.apply(&actor, job);
    assert_eq!(
        by_peer(Job::Remove(cidr("10.0.0.0/8"), None)),
        Applied::Unchanged
    );
    assert_eq!(
        by_peer(Job::Add(rule("10.0.0.0/8", "peer", 3000), None)),
        Applied::Updated
    );
    house
        .firewall
        .remove(drop_key("10.0.0.0/8"), &client())
        .unwrap();
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop);
    let entry = house.firewall.entry(drop_key("10.0.0.0/8")).unwrap();
    assert_eq!(
        (entry.tag.unwrap().as_str(), entry.expiration),
        ("peer", 3000)
    );
    // Now only the peer claims it, and the operator may remove that.
    house
        .firewall
        .remove(drop_key("10.0.0.0/8"), &client())
        .unwrap();
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Pass);
    let gone = house.firewall.remove(drop_key("10.0.0.0/8"), &client());
    assert!(matches!(gone, Err(FirewallError::NotFound { .. })));
}

#[test]
fn a_peer_cannot_take_what_a_set_defines() {
    let house = House::new();
    house
        .firewall
        .replace_sets(&catalog(&[(Policy::Drop, "s", &["10.0.0.0/8"])]))
        .unwrap();
    let actor = peer().actor;
    let result = house.firewall.apply(
        Policy::Drop,
        vec![Job::Remove(cidr("10.0.0.0/8"), None)],
        &actor,
    );
    assert_eq!(result[0].as_ref().unwrap(), &Applied::Unchanged);
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop);
}

#[test]
fn a_peer_cannot_take_another_peers_claim() {
    let house = House::new();
    let add = vec![Job::Add(rule("10.0.0.0/8", "", 0), None)];
    house.firewall.apply(Policy::Drop, add, &peer().actor);
    let other = Actor::Peer("q".parse().unwrap());
    let remove = vec![Job::Remove(cidr("10.0.0.0/8"), None)];
    let result = house.firewall.apply(Policy::Drop, remove, &other);
    assert_eq!(result[0].as_ref().unwrap(), &Applied::Unchanged);
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop);
}
