//! Expirations between clocks that differ, and while a node is cut off.

use super::*;

#[test]
fn expiries_agree_between_clocks_five_minutes_apart_and_are_no_deletions() {
    let nodes = [
        Node::new(&["b"], &Limits::default(), 0, ROOM),
        Node::new(&["a"], &Limits::default(), 300, ROOM),
    ];
    let [a, b] = &nodes;
    let until = SystemClock.now() + 1_000;
    a.add(Policy::Drop, 1, "", until);
    b.add(Policy::Drop, 2, "", until);
    level(&nodes);
    let apart = |n: u32| {
        b.held(n)[0]
            .expiration
            .abs_diff(a.held(n)[0].expiration + 300)
    };
    assert!(apart(1) <= 1 && apart(2) <= 1);
    // One that ends: no node says that it was deleted, so a longer one elsewhere stays.
    a.add(Policy::Drop, 3, "", SystemClock.now() + 3);
    level(&nodes);
    couic_testkit::until("the rule has ended on both", LONG, || {
        (a.held(3).is_empty() && b.held(3).is_empty()).then_some(())
    });
    for node in &nodes {
        node.engine.scan();
        assert_eq!(node.rules(Policy::Drop).len(), 2);
    }
}

/// A node that was cut off has the rule without its new expiration, and receives that when it has passed: the firewall
/// refuses an expired rule, and must not keep the older one for that.
#[test]
fn an_expiration_that_passed_while_a_node_was_partitioned_ends_the_rule_there_too() {
    let nodes = Node::pair(&Limits::default());
    let [a, b] = &nodes;
    a.add(Policy::Drop, 1, "a", 0);
    level(&nodes);
    a.add(Policy::Drop, 1, "a", SystemClock.now() + 1);
    couic_testkit::until("the rule has ended", LONG, || {
        a.held(1).is_empty().then_some(())
    });
    a.engine.scan();
    assert_eq!(b.held(1).len(), 1, "b has not received it");
    level(&nodes);
    assert_eq!(b.held(1), []);
    b.engine.scan();
    level(&nodes);
    assert_eq!((a.held(1), b.held(1)), (vec![], vec![]));
}
