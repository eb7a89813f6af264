//! Who ends whose rules.

use super::*;

/// B trusts A with the deletions of all, or not.
fn pair(all: bool) -> [Node; 2] {
    let trusting = Limits {
        ends_others: all,
        ..Limits::default()
    };
    [
        Node::new(&["b"], &Limits::default(), 0, ROOM),
        Node::new(&["a"], &trusting, 0, ROOM),
    ]
}

#[test]
fn a_peer_may_not_delete_what_a_client_wants_unless_it_is_trusted_with_that() {
    for all in [false, true] {
        let nodes = pair(all);
        let [a, b] = &nodes;
        b.add(Policy::Drop, 1, "", 0);
        level(&nodes);
        a.unban(1).unwrap();
        assert!(a.held(1).is_empty());
        level(&nodes);
        b.engine.scan();
        a.engine.scan();
        level(&nodes);
        assert!(a.held(1).is_empty(), "what was removed here stays away");
        assert_eq!(b.held(1).is_empty(), all);
        // Written anew, it holds again, everywhere.
        b.add(Policy::Drop, 1, "again", 0);
        level(&nodes);
        assert_eq!((a.held(1).len(), b.held(1).len()), (1, 1));
    }
}

#[test]
fn a_peer_ends_its_own_claim_and_not_that_of_a_client_or_another_peer() {
    let nodes = pair(false);
    let [a, b] = &nodes;
    a.add(Policy::Drop, 1, "", 0);
    b.add(Policy::Drop, 1, "", 0);
    let third = Job::Add(rule(1, "", 0), None);
    b.firewall
        .apply(Policy::Drop, vec![third], &Actor::Peer(name("old")));
    level(&nodes);
    assert_eq!(b.held(1).len(), 3);
    a.delete(Policy::Drop, 1).unwrap();
    level(&nodes);
    assert_eq!(b.held(1).len(), 2);
    let info = b.engine.peers().remove(0);
    assert_eq!((info.rules, info.not_accepted), (0, 0));
}

#[test]
fn a_trusted_deletion_takes_the_claims_of_all_and_leaves_what_came_later() {
    let nodes = pair(true);
    let [a, b] = &nodes;
    b.add(Policy::Drop, 1, "", 0);
    let third = Job::Add(rule(1, "", 0), None);
    b.firewall
        .apply(Policy::Drop, vec![third], &Actor::Peer(name("old")));
    b.engine.scan();
    level(&nodes);
    a.unban(1).unwrap();
    a.add(Policy::Drop, 1, "new", 0);
    level(&nodes);
    assert_eq!(b.held(1).len(), 1);
    assert_eq!(b.held(1)[0].owner, Owner::Peer(name("a")));
}

#[test]
fn an_undone_deletion_is_a_rule_again() {
    let nodes = pair(true);
    let [a, b] = &nodes;
    b.add(Policy::Drop, 1, "t", 0);
    level(&nodes);
    let before = a.held(1);
    a.unban(1).unwrap();
    level(&nodes);
    assert!(b.held(1).is_empty());
    // As commit-confirm does when nobody confirms.
    let swap = couic_firewall::rules::ClaimSwap {
        key: RuleKey::new(Policy::Drop, cidr(1)),
        owner: None,
        expected: Vec::new(),
        wanted: before.first().cloned(),
    };
    let origin = Origin {
        actor: client(),
        metadata: None,
    };
    assert!(a.firewall.swap(vec![swap], &origin)[0].is_done());
    a.engine.scan();
    level(&nodes);
    assert_eq!((a.held(1).len(), b.held(1).len()), (1, 1));
}
