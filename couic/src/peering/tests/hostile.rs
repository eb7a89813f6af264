//! A peer that lies or floods: what it costs, and how it is told.

use couic_peering::{DigestRequest, Face, Of, PROTOCOL, PullRequest, Replica, Unfit};

use super::*;

fn face(node: &Node) -> Face {
    Face::of(&node.engine.state.lock().replica, node.engine.now())
}

#[test]
fn one_request_with_a_clock_ahead_parts_nobody() {
    // Honest clocks a second apart; the hostile one is as far ahead as is accepted.
    let nodes = [
        Node::new(&["b"], &Limits::default(), 0, ROOM),
        Node::new(&["a"], &Limits::default(), -1, ROOM),
    ];
    let [a, b] = &nodes;
    let hostile = Face {
        node: couic_peering::NodeId::started(66, 1),
        wall: face(a).wall + couic_peering::MAX_AHEAD - 5,
        protocol: PROTOCOL,
    };
    let request = DigestRequest {
        from: hostile,
        of: Of::Root,
    };
    let answer = a.engine.digests(&name("evil"), Policy::Drop, &request);
    assert!(answer.is_ok());
    a.add(Policy::Drop, 1, "", 0);
    b.add(Policy::Drop, 2, "", 0);
    couic_testkit::until("both are in sync", LONG, || {
        level(&nodes);
        let in_sync = |node: &Node| node.engine.peers()[0].state == PeerState::InSync;
        nodes.iter().all(in_sync).then_some(())
    });
    for node in &nodes {
        assert_eq!(node.rules(Policy::Drop).len(), 2);
        assert_eq!(node.engine.peers()[0].last_error, None);
    }
    // A clock that is further ahead is refused, and named by its owner's name.
    let request = DigestRequest {
        from: Face {
            wall: hostile.wall + 60_000,
            ..hostile
        },
        of: Of::Root,
    };
    let refused = a.engine.digests(&name("evil"), Policy::Drop, &request);
    assert!(matches!(refused, Err(Unfit::Ahead { .. })));
    let evil = a.engine.peers().pop().unwrap();
    assert!(evil.last_error.unwrap().message.contains("its clock"));
}

#[test]
fn a_full_share_is_told_by_health_and_the_peer_is_not_called_in_sync() {
    let nodes = Node::pair(&Limits::default());
    let [a, b] = &nodes;
    {
        // Room for 16 registers of peers.
        let mut state = b.engine.state.lock();
        state.replica = Replica::new(state.replica.node(), 86_400_000, 16);
        state.replica.introduce(&Limits::default());
    }
    assert_eq!(b.engine.problems(), []);
    for n in 0..20 {
        a.add(Policy::Drop, n, "", 0);
    }
    for _ in 0..6 {
        talk(a, "a", b);
        assert_ne!(a.engine.peers()[0].state, PeerState::InSync);
    }
    assert_eq!(b.rules(Policy::Drop).len(), 8);
    let told = b.engine.problems().remove(0);
    assert_eq!(told.name, name("a"));
    assert!(told.problem.contains("couicctl peers forget"), "{told:?}");
    for n in 100..150 {
        b.add(Policy::Drop, n, "", 0);
    }
    assert_eq!(b.rules(Policy::Drop).len(), 58, "its own have room");
}

#[test]
fn a_peer_may_not_drop_more_than_its_share_of_the_addresses() {
    let tight = Limits {
        total_prefix_v4: 30,
        ..Limits::default()
    };
    let nodes = [
        Node::new(&["b"], &Limits::default(), 0, ROOM),
        Node::new(&["a"], &tight, 0, ROOM),
    ];
    let [a, b] = &nodes;
    for n in 0..10 {
        a.add(Policy::Drop, n, "", 0);
    }
    for _ in 0..6 {
        talk(a, "a", b);
        assert_ne!(a.engine.peers()[0].state, PeerState::InSync);
    }
    assert_eq!(b.rules(Policy::Drop).len(), 4, "as many as a /30");
    let info = b.engine.peers().remove(0);
    assert!(info.last_error.unwrap().message.contains("total_prefix_v4"));
    // A plain job is judged by the same limit.
    let more = [RuleKey::new(Policy::Drop, cidr(77))];
    assert!(b.engine.beyond_share(&name("a"), &more).is_some());
    assert!(b.engine.beyond_share(&name("other"), &more).is_none());
}

#[test]
fn a_pull_is_answered_in_pages() {
    let [a, b] = Node::pair(&Limits::default());
    for n in 0..10_000 {
        a.add(Policy::Drop, n, "", 0);
    }
    let mut request = PullRequest {
        from: face(&b),
        leaves: vec![(0, u16::MAX)],
        after: None,
    };
    let mut pages = Vec::new();
    loop {
        let answer = a.engine.pull(&name("b"), Policy::Drop, &request).unwrap();
        pages.push(answer.records.len());
        request.after = answer.last;
        if request.after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [4_000, 4_000, 2_000]);
}

#[test]
fn a_rule_that_another_brought_first_is_its_authors_once_that_is_heard() {
    let limits = Limits::default();
    let a = Node::new(&["c"], &limits, 0, ROOM);
    let evil = Node::new(&["a"], &limits, 0, ROOM);
    let c = Node::new(&["a"], &limits, 0, ROOM);
    a.add(Policy::Drop, 1, "", 0);
    talk(&evil, "evil", &a);
    push_as(&evil, &c, |_, _| {});
    assert_eq!(c.held(1)[0].owner, Owner::Peer(name("evil")));
    // It takes back what it brought, which is not its to take once A is heard.
    push_as(&evil, &c, |record, _| record.ended = true);
    assert_eq!(c.held(1), []);
    couic_testkit::until("the rule is A's", LONG, || {
        talk(&c, "c", &a);
        let owner = c.held(1).first().map(|claim| claim.owner.clone());
        (owner == Some(Owner::Peer(name("a")))).then_some(())
    });
    assert_eq!(c.held(1).len(), 1);
    assert_eq!(c.engine.forget(&name("evil"), &name("c")), Some(0));
    assert_eq!(c.held(1).len(), 1, "it was not the forgotten one's");
}
