//! Forgetting a peer removes its own rules, everywhere, and no others.

use super::*;

#[test]
fn forgetting_a_peer_removes_its_rules_everywhere() {
    let nodes = Node::pair(&Limits::default());
    let [a, b] = &nodes;
    a.add(Policy::Drop, 1, "", 0);
    b.add(Policy::Drop, 2, "", 0);
    level(&nodes);
    assert_eq!(b.engine.forget(&name("nobody"), &name("c")), None);
    assert_eq!(b.engine.peers()[0].rules, 1);
    assert_eq!(b.engine.forget(&name("a"), &name("c")), Some(1));
    level(&nodes);
    for node in &nodes {
        assert_eq!(node.rules(Policy::Drop), [(cidr(2), None)]);
    }
}

#[test]
fn forgetting_a_peer_keeps_the_rules_that_it_only_relayed() {
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
    let nodes = [Node::on(7, &["b"], &limits, 0, ROOM), b];
    level(&nodes);
    let [a, b] = &nodes;
    assert_eq!(a.held(1)[0].owner, Owner::Peer(name("b")));
    assert_eq!(a.engine.forget(&name("b"), &name("c")), Some(1));
    assert_eq!(a.held(1)[0].owner, Owner::Api, "its own");
    level(&nodes);
    for node in &nodes {
        assert_eq!(node.rules(Policy::Drop), [(cidr(1), None)]);
    }
    assert_eq!(b.engine.peers()[0].rules, 1);
}
