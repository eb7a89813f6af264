//! What one peer may use up.

use super::*;

/// A node with room for 2,400 registers of peers, and the writes of a peer with the machine 3.
fn flooded(tombstones: bool, count: u32) -> (Node, usize) {
    let mut node = Node::with(1, &everything(), 2_400);
    let mut evil = Node::new(3);
    let state = if tombstones {
        RecordState::Deleted
    } else {
        live(NEVER)
    };
    let mut refused = 0;
    for n in 0..count {
        let record = evil.write(n, state.clone(), 1_000);
        let full = Merge::Refused(Refusal::Full);
        refused += usize::from(node.take(3, n, &record, 1_000) == full);
    }
    (node, refused)
}

/// Whether another peer and the node itself have room.
fn assert_room(node: &mut Node) {
    let mut honest = Node::new(2);
    for n in 0..node.replica.guaranteed() as u32 {
        let record = honest.write(0x1_0000 + n, live(NEVER), 1_000);
        assert_eq!(node.take(2, 0x1_0000 + n, &record, 1_000), Merge::Newer);
    }
    for n in 0..5_000 {
        node.write(0x2_0000 + n, live(NEVER), 1_000);
    }
}

#[test]
fn a_flood_of_tombstones_leaves_room_for_all_others() {
    let (mut node, refused) = flooded(true, 4_000);
    let share = node.replica.share(node.peers[2], true);
    assert_eq!((share.registers, refused), (150, 3_850));
    assert_eq!(share.refused, 3_850);
    assert_room(&mut node);
    let evil = node.peers[2];
    node.replica.forget_peer(Policy::Drop, evil, (0, u16::MAX));
    node.replica.unbind(evil);
    let share = node.replica.share(evil, true);
    assert_eq!(share.registers, 0, "forgotten with the peer");
}

#[test]
fn a_flood_of_rules_leaves_room_for_all_others() {
    let (mut node, refused) = flooded(false, 4_000);
    let share = node.replica.share(node.peers[2], true);
    assert_eq!((share.registers, refused), (1_200, 2_800));
    assert_room(&mut node);
    // What is there already can be renewed and deleted.
    let mut evil = Node::new(3);
    let record = evil.write(7, RecordState::Deleted, 2_000);
    assert_eq!(node.take(3, 7, &record, 2_000), Merge::Newer);
}

#[test]
fn rules_passed_on_do_not_use_up_the_room_for_its_own() {
    let mut node = Node::with(1, &everything(), 2_400);
    let mut evil = Node::new(3);
    for n in 0..4_000 {
        let mut record = evil.write(n, live(NEVER), 1_000);
        record.stamp.node = NodeId::started(1_000 + n, 0);
        node.take(2, n, &record, 1_000);
    }
    assert_eq!(node.replica.share(node.peers[1], false).registers, 1_200);
    assert_room(&mut node);
}

#[test]
fn the_oldest_of_too_many_own_tombstones_go() {
    let mut node = Node::with(1, &everything(), 8_000);
    for n in 0..10_000 {
        node.write(n, live(NEVER), 1_000);
        node.write(n, RecordState::Deleted, 1_000);
    }
    let count = node.replica.len(Policy::Drop);
    assert!((1_000..=2_001).contains(&count), "{count}");
    assert!(node.replica.own(drop_key(9_999)).is_some());
    assert!(node.replica.own(drop_key(0)).is_none());
}

#[test]
fn the_share_of_the_address_space_of_a_peer_is_bounded() {
    let mut node = Node::new(1);
    let mut evil = Node::new(3);
    let wide = |n: u32| {
        let cidr: Cidr = format!("{n}.0.0.0/8").parse().unwrap();
        RuleKey::new(Policy::Drop, cidr)
    };
    let mut taken = 0;
    let mut offers = Vec::new();
    for n in 0..=255 {
        let key = wide(n);
        evil.replica.write(key, live(NEVER), SELF, at(1_000));
        let record = evil.replica.own(key).unwrap().record.clone();
        let offer = Offer {
            cidr: key.cidr,
            record,
            shift: 0,
            ended: false,
            heeded: false,
            reason: None,
        };
        let from = node.peers[2];
        let merge = node
            .replica
            .merge(from, key, &offer, &everything(), at(1_000));
        match merge {
            Merge::Newer => taken += 1,
            Merge::Refused(Refusal::Addresses { cidr }) => assert_eq!(cidr, key.cidr),
            other => panic!("{other:?}"),
        }
        offers.push(key);
    }
    assert_eq!(taken, 16, "a sixteenth");
    // A deletion makes room again.
    let key = offers[0];
    evil.replica
        .write(key, RecordState::Deleted, SELF, at(2_000));
    let record = evil.replica.own(key).unwrap().record.clone();
    let offer = Offer {
        cidr: key.cidr,
        record,
        shift: 0,
        ended: false,
        heeded: false,
        reason: None,
    };
    let from = node.peers[2];
    node.replica
        .merge(from, key, &offer, &everything(), at(2_000));
    let exceeds = |keys: &[RuleKey]| node.replica.exceeds_addresses(from, keys, &everything());
    assert_eq!(exceeds(&[wide(99)]), None);
    assert!(exceeds(&[wide(99), wide(100)]).is_some());
}
