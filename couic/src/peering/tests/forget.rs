//! Forgetting a peer removes what came from it, and nothing else.

use super::{
    durable::{kill, plainly},
    *,
};

#[test]
fn forgetting_a_peer_removes_all_that_came_from_it_until_it_is_written_anew() {
    let nodes = Node::pair(&Limits::default());
    let [a, b] = &nodes;
    a.add(Policy::Drop, 1, "", 0);
    a.add(Policy::Drop, 3, "", 0);
    a.delete(Policy::Drop, 3).unwrap();
    b.add(Policy::Drop, 1, "", 0);
    b.add(Policy::Drop, 2, "", 0);
    level(&nodes);
    assert_eq!(b.engine.forget(&name("nobody"), &name("c")), None);
    assert_eq!(b.engine.peers()[0].rules, 1);
    assert_eq!(b.engine.forget(&name("a"), &name("c")), Some(1));
    assert_eq!(b.held(1).len(), 1, "what its own clients want stays");
    level(&nodes);
    b.engine.scan();
    assert_eq!(b.held(1)[0].owner, Owner::Api);
    assert_eq!(b.engine.peers()[0].rules, 0, "it does not come back");
    assert_eq!(a.rules(Policy::Drop).len(), 2, "the peer has its own");
    // It means it: the rule is written anew.
    a.add(Policy::Drop, 1, "again", 0);
    level(&nodes);
    assert_eq!(b.engine.peers()[0].rules, 1);
}

#[test]
fn forgetting_a_peer_removes_what_it_wrote_in_the_names_of_others() {
    let limits = Limits::default();
    let node = Node::new(&["evil"], &limits, 0, ROOM);
    let evil = Node::new(&["node"], &limits, 0, ROOM);
    for n in 1..=4 {
        evil.add(Policy::Drop, n, "", 0);
    }
    let me = node.engine.state.lock().replica.node();
    push_as(&evil, &node, |record, n| match n {
        0 => record.node = couic_peering::NodeId::started(99, 1),
        1 => record.node = me,
        _ => {}
    });
    // In its own name, it knows better at once.
    assert_eq!(node.rules(Policy::Drop).len(), 3);
    assert_eq!(node.engine.forget(&name("evil"), &name("c")), Some(3));
    assert!(node.rules(Policy::Drop).is_empty());
}

#[test]
fn what_a_node_without_its_state_gets_back_can_be_forgotten() {
    let limits = Limits::default();
    let a = Node::on(7, &["b"], &limits, 0, ROOM);
    let b = Node::new(&["a"], &limits, 0, ROOM);
    a.add(Policy::Drop, 1, "", 0);
    b.add(Policy::Drop, 2, "", 0);
    let nodes = [a, b];
    level(&nodes);
    let [a, b] = nodes;
    // A starts again with nothing, and has its own rule back from B.
    drop(a);
    thread::sleep(Duration::from_millis(2));
    let a = Node::on(7, &["b"], &limits, 0, ROOM);
    a.engine.restore(couic_firewall::journal::Registers::new());
    let nodes = [a, b];
    level(&nodes);
    let [a, b] = &nodes;
    assert_eq!(a.held(1)[0].owner, Owner::Peer(name("b")));
    assert_eq!(b.held(1)[0].owner, Owner::Peer(name("a")));
    assert_eq!(a.engine.forget(&name("b"), &name("c")), Some(2));
    level(&nodes);
    assert_eq!(a.rules(Policy::Drop), []);
    assert_eq!(b.rules(Policy::Drop), [(cidr(2), None)]);
}

/// Says a rule in the name of a machine that is none of the peers.
fn introduce(evil: &Node, to: &Node) {
    evil.add(Policy::Drop, 1, "", 0);
    push_as(evil, to, |record, _| {
        record.node = couic_peering::NodeId::started(99, 1);
    });
}

#[test]
fn who_has_a_rule_from_this_node_alone_hears_of_its_end_also_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let evil = Node::new(&["a"], &Limits::default(), 0, ROOM);
    let nodes = [
        plainly(dir.path(), "b"),
        Node::new(&["a"], &Limits::default(), 0, ROOM),
    ];
    introduce(&evil, &nodes[0]);
    level(&nodes);
    let [a, b] = nodes;
    assert_eq!(b.held(1)[0].owner, Owner::Peer(name("a")));
    assert_eq!(a.engine.forget(&name("evil"), &name("c")), Some(1));
    // Before the other one was told; digests do not differ.
    kill(a);
    let nodes = [plainly(dir.path(), "b"), b];
    level(&nodes);
    for node in &nodes {
        assert_eq!(node.rules(Policy::Drop), []);
    }
}

#[test]
fn what_a_peer_revokes_of_what_it_introduced_ends_also_where_it_was_passed_on() {
    let evil = Node::new(&["a"], &Limits::default(), 0, ROOM);
    let nodes = Node::pair(&Limits::default());
    introduce(&evil, &nodes[0]);
    level(&nodes);
    assert_eq!(nodes[1].rules(Policy::Drop).len(), 1);
    evil.delete(Policy::Drop, 1).unwrap();
    push_as(&evil, &nodes[0], |record, _| record.revokes = record.time);
    level(&nodes);
    for node in &nodes {
        assert_eq!(node.rules(Policy::Drop), []);
    }
}
