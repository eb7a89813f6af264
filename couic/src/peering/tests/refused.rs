//! Rules that a node refuses or takes later, by its limits or for want of room, are neither lost nor deleted elsewhere.

use super::*;

#[test]
fn a_rule_refused_by_a_limit_is_no_deletion_and_does_not_block_others() {
    let strict = Limits {
        tags: Some("ssh*".parse().unwrap()),
        min_prefix_v4: 16,
        ..Limits::default()
    };
    let nodes = [
        Node::new(&["b"], &Limits::default(), 0, ROOM),
        Node::new(&["a"], &strict, 0, ROOM),
    ];
    let [a, b] = &nodes;
    a.add(Policy::Drop, 1, "web", 0);
    a.add(Policy::Drop, 2, "ssh", 0);
    let wide = ClaimRequest {
        cidr: "10.0.0.0/8".parse().unwrap(),
        tag: Tag::parse("ssh").unwrap(),
        expiration: 0,
    };
    a.firewall
        .apply(Policy::Drop, vec![Job::Add(wide, None)], &client());
    a.engine.scan();
    for _ in 0..5 {
        level(&nodes);
    }
    assert_eq!(b.rules(Policy::Drop).len(), 1);
    assert_eq!(
        a.rules(Policy::Drop).len(),
        3,
        "nothing came back as a deletion"
    );
    let info = b.engine.peers().remove(0);
    assert!(info.not_accepted >= 2, "{info:?}");
    assert!(info.last_error.is_some());
}

/// Two nodes. The second has room for a single drop, which it has.
fn beside_a_full_one() -> [Node; 2] {
    let tiny = Capacity {
        drop_entries: 1,
        ignore_entries: 1,
    };
    let nodes = [
        Node::new(&["b"], &Limits::default(), 0, ROOM),
        Node::new(&["a"], &Limits::default(), 0, tiny),
    ];
    nodes[1].add(Policy::Drop, 1, "own", 0);
    nodes
}

#[test]
fn a_rule_refused_by_a_full_table_is_added_once_there_is_room() {
    let nodes = beside_a_full_one();
    let [a, b] = &nodes;
    a.add(Policy::Drop, 2, "", 0);
    level(&nodes);
    b.engine.scan();
    b.engine.tidy();
    level(&nodes);
    assert_eq!(a.rules(Policy::Drop).len(), 2, "no deletion was made of it");
    assert_eq!(b.rules(Policy::Drop).len(), 1);
    b.delete(Policy::Drop, 1).unwrap();
    b.engine.tidy();
    assert_eq!(b.rules(Policy::Drop), [(cidr(2), None)]);
    level(&nodes);
    assert_eq!(a.rules(Policy::Drop), [(cidr(2), None)]);
}

#[test]
fn a_rule_that_waits_for_room_can_be_added_here_as_well() {
    let nodes = beside_a_full_one();
    let [a, b] = &nodes;
    a.add(Policy::Drop, 2, "theirs", 0);
    level(&nodes);
    b.delete(Policy::Drop, 1).unwrap();
    b.add(Policy::Drop, 2, "mine", 0);
    b.engine.tidy();
    level(&nodes);
    let mine = (cidr(2), Tag::parse("mine").unwrap());
    assert_eq!(b.rules(Policy::Drop), std::slice::from_ref(&mine));
    for node in &nodes {
        assert_eq!(node.held(2).len(), 2, "each wants it");
    }
}

#[test]
fn a_flood_is_slowed_down_without_loss() {
    let slow = Limits {
        adds_per_second: 1_000,
        ..Limits::default()
    };
    let nodes = [
        Node::new(&["b"], &Limits::default(), 0, ROOM),
        Node::new(&["a"], &slow, 0, ROOM),
    ];
    let [a, b] = &nodes;
    for n in 0..2_500 {
        a.add(Policy::Drop, n, "", 0);
    }
    talk(a, "a", b);
    while b.rules(Policy::Drop).len() < 2_500 {
        talk(a, "a", b);
    }
    assert_eq!(a.rules(Policy::Drop), b.rules(Policy::Drop));
}
