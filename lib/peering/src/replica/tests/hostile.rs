//! Peers that lie: in another's name, with other clocks, and with one stamp for two contents.

use super::*;

#[test]
fn of_two_contents_with_one_stamp_all_keep_the_same() {
    let mut evil = Node::new(3);
    let one = evil.write(1, live(NEVER), 1_000);
    let other = Record {
        state: RecordState::Deleted,
        ..one.clone()
    };
    let [mut a, mut b] = [1, 2].map(Node::new);
    a.take(3, 1, &one, 1_000);
    b.take(3, 1, &other, 1_000);
    assert_ne!(a.root(), b.root(), "digests tell the contents apart");
    a.take(2, 1, &other, 1_000);
    b.take(1, 1, &one, 1_000);
    a.take(3, 1, &other, 1_000);
    assert_eq!(a.root(), b.root());
    assert_eq!(a.wanted_by(1, 1_000), b.wanted_by(1, 1_000));
}

#[test]
fn a_write_in_the_name_of_a_peer_that_is_heard_counts_for_nothing() {
    let [mut a, mut b] = [1, 2].map(Node::new);
    let real = a.write(1, live(NEVER), 1_000);
    b.take(1, 1, &real, 1_000);
    let mut forged = real.clone();
    forged.state = RecordState::Deleted;
    forged.stamp.time += 1;
    assert_eq!(b.take(3, 1, &forged, 2_000), Merge::Older);
    assert_eq!(b.wanted_by(1, 2_000), [1]);
    // A is cut off: a relay may bring its news. Its own word decides as soon as it is heard.
    assert_eq!(b.take(3, 1, &forged, 70_000), Merge::Newer);
    assert_eq!(b.take(1, 1, &real, 70_001), Merge::Newer);
    assert_eq!(b.wanted_by(1, 70_001), [1]);
}

#[test]
fn a_forgery_counts_as_the_forgers_and_ends_when_it_is_forgotten() {
    let mut b = Node::new(2);
    let mut a = Node::new(1);
    let mut forged = a.write(1, live(NEVER), 1_000);
    b.take(3, 1, &forged, 1_000);
    forged.stamp.node = NodeId::started(99, 9);
    b.take(3, 2, &forged, 1_000);
    let evil = b.peers[2];
    assert!(b.replica.of(drop_key(1)).all(|(_, slot)| slot.from == evil));
    // Those that another passes on while leaf after leaf is looked at are not forgotten either.
    b.replica.distrust(evil);
    let own = Node::new(3).write(3, live(NEVER), 1_000);
    b.take(1, 3, &own, 1_000);
    assert_eq!(b.wanted_by(3, 1_000), [0_u32; 0]);
    let rules = b.replica.forget_peer(Policy::Drop, evil, (0, u16::MAX));
    b.replica.unbind(evil);
    assert_eq!(rules.len(), 2);
    assert!(rules.iter().all(|id| b.replica.get(*id).unwrap().ended));
    assert_eq!(
        (b.wanted_by(1, 1_000), b.wanted_by(2, 1_000)),
        (vec![], vec![])
    );
    // Others that still hold it do not bring it back.
    assert_eq!(b.take(1, 2, &forged, 1_000), Merge::Same);
    assert_eq!(b.wanted_by(2, 1_000), [0_u32; 0]);
}

#[test]
fn a_write_in_this_nodes_own_name_is_answered_with_its_own_word() {
    let [mut a, mut b] = [1, 2].map(Node::new);
    let mut forged = a.write(1, live(NEVER), 1_000);
    forged.stamp.time += 7;
    forged.state = RecordState::Deleted;
    assert_eq!(a.take(3, 1, &forged, 1_000), Merge::Refuted);
    assert_eq!(a.wanted_by(1, 1_000), [1]);
    // B cannot hear A, and believed it. What A writes now is later.
    b.take(3, 1, &forged, 70_000);
    let word = a.replica.own(drop_key(1)).unwrap().record.clone();
    assert_eq!(b.take(3, 1, &word, 70_000), Merge::Newer);
    assert_eq!(b.wanted_by(1, 70_000), [1]);
    // One that it never wrote is denied, and few of them a second.
    forged.state = live(NEVER);
    let answers = (10..5_000).map(|n| a.take(3, n, &forged, 1_000));
    let denied = answers.filter(|answer| *answer == Merge::Refuted).count();
    assert!((1..=2_000).contains(&denied), "{denied}");
    assert_eq!(a.wanted_by(10, 1_000), [0_u32; 0]);
}

#[test]
fn a_clock_ahead_costs_only_its_owner() {
    let mut evil = Node::new(3);
    let future = 1_000 + MAX_AHEAD - 5;
    let record = evil.write(1, live(NEVER), future);
    let [mut a, mut b] = [1, 2].map(Node::new);
    a.take(3, 1, &record, 1_000);
    // A's writes are by its own clock, and B, a little late, takes them.
    let of_a = a.write(2, live(NEVER), 1_000);
    assert_eq!(of_a.stamp.ms(), 1_000);
    assert_eq!(b.take(1, 2, &of_a, 100), Merge::Newer);
    assert!(matches!(b.take(3, 1, &record, 100), Merge::Refused(_)));
    // Even the same rule is not lost for A.
    a.write(1, live(NEVER), 1_000);
    assert_eq!(a.wanted_by(1, 1_000), [1, 3]);
}

#[test]
fn what_a_peer_passed_on_goes_when_it_takes_it_back() {
    let mut evil = Node::new(3);
    let mut forged = evil.write(1, live(NEVER), 1_000);
    forged.stamp.node = NodeId::started(99, 9);
    let [mut a, mut b] = [1, 2].map(Node::new);
    a.take(3, 1, &forged, 1_000);
    b.take(1, 1, &forged, 1_000);
    assert_eq!(b.wanted_by(1, 1_000), [99]);
    let from = a.peers[2];
    let taken_back = a.replica.forget_peer(Policy::Drop, from, (0, u16::MAX));
    a.replica.unbind(from);
    for id in taken_back {
        let said = crate::WireRecord::new(id.key.cidr, a.replica.get(id).unwrap(), None);
        let offer = said.read(0).unwrap();
        // Not by others, who did not introduce it.
        let mut merge = |machine: usize| {
            let from = b.peers[machine - 1];
            b.replica
                .merge(from, id.key, &offer, &everything(), at(1_000))
        };
        assert_eq!(merge(3), Merge::Same);
        assert_eq!(merge(1), Merge::TakenBack);
        assert_eq!(merge(1), Merge::Same);
    }
    assert_eq!(b.wanted_by(1, 1_000), [0_u32; 0]);
    // Nor what is the forgotten one's own, before it speaks again.
    let own = evil.write(2, live(NEVER), 1_000);
    a.take(2, 2, &own, 1_000);
    assert_eq!(a.wanted_by(2, 1_000), [0_u32; 0]);
    a.replica.heard(from, NodeId::started(3, 0), at(1_000));
    a.take(3, 2, &own, 1_000);
    assert_eq!(a.wanted_by(2, 1_000), [3]);
}

#[test]
fn who_passes_on_a_peers_rule_has_no_say_in_it() {
    let [mut a, mut b] = [1, 2].map(Node::new);
    let rule = a.write(1, live(NEVER), 1_000);
    // The hostile brings A's rule first, then takes it back, and revokes it.
    let mut offer = Offer {
        cidr: cidr(1),
        record: rule.clone(),
        shift: 0,
        ended: true,
        heeded: false,
        reason: None,
    };
    let (evil, of_a) = (b.peers[2], b.peers[0]);
    let merge = |b: &mut Node, offer: &Offer| {
        b.replica
            .merge(evil, drop_key(1), offer, &everything(), at(1_000))
    };
    assert_eq!(merge(&mut b, &offer), Merge::Newer);
    assert_eq!(b.wanted_by(1, 1_000), [1]);
    assert_eq!(merge(&mut b, &offer), Merge::Same);
    let mut third = Node::new(3);
    third.take(1, 1, &rule, 1_000);
    third.replica.revoke(drop_key(1), at(1_000));
    offer.record = third.replica.own(drop_key(1)).unwrap().record.clone();
    assert_eq!(merge(&mut b, &offer), Merge::Newer);
    assert_eq!(b.wanted_by(1, 1_000), [1]);
    // Once A was compared with and does not differ, the rule is its own.
    assert!(b.replica.take_unconfirmed(of_a));
    for id in b.replica.relayed(Policy::Drop, of_a, (0, u16::MAX)) {
        b.replica.confirm(id, of_a);
    }
    let author = 1;
    let id = RegisterId {
        key: drop_key(1),
        author,
    };
    let slot = b.replica.get(id).unwrap();
    assert!(slot.direct && slot.from == of_a && slot.is_live(at(1_000)));
    assert!(!b.replica.take_unconfirmed(of_a));
}

#[test]
fn this_nodes_own_number_cannot_be_taken() {
    let mut b = Node::new(2);
    b.write(1, live(NEVER), 1_000);
    let (evil, me) = (b.peers[2], b.replica.node());
    assert!(!b.replica.heard(evil, me, at(1_000)));
    assert_eq!(b.replica.relayed(Policy::Drop, evil, (0, u16::MAX)), []);
    let ended = b.replica.forget_peer(Policy::Drop, evil, (0, u16::MAX));
    assert_eq!((ended, b.wanted_by(1, 1_000)), (vec![], vec![2]));
    // Nor by what it sent as plain jobs, after a restart.
    b.replica.write(drop_key(2), live(NEVER), evil, at(1_000));
    let slot = b.replica.own(drop_key(2)).unwrap().clone();
    let mut again = Node::new(2);
    again.replica.restore(drop_key(2), slot, None);
    again.write(1, live(NEVER), 1_000);
    let ended = again.replica.forget_peer(Policy::Drop, evil, (0, u16::MAX));
    assert_eq!(ended, []);
}

#[test]
fn a_revocation_that_a_peer_passes_on_ends_nothing_of_its_own() {
    let trusting = Limits {
        ends_others: true,
        ..everything()
    };
    let mut b = Node::with(2, &trusting, 1_000);
    let mut a = Node::new(1);
    let rule = a.write(1, live(NEVER), 1_000);
    b.take(1, 1, &rule, 1_000);
    b.write(1, live(NEVER), 1_000);
    let mut nobodys = rule;
    nobodys.stamp.node = NodeId::started(99, 9);
    nobodys.stamp.time += 1_000;
    nobodys.state = RecordState::Deleted;
    nobodys.revokes = nobodys.stamp.time;
    assert_eq!(b.take(1, 1, &nobodys, 1_000), Merge::Newer);
    assert_eq!(b.wanted_by(1, 1_000), [1, 2]);
}
