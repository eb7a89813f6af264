//! One writer for each register, revocations, tombstones, shares, and registers restored after a restart.

use std::net::Ipv4Addr;

use super::{deadlines::STALE, *};
use crate::{MAX_AHEAD, Record, RecordState, Refusal};

mod hostile;
mod shares;

const DAY: u64 = 86_400_000;
const SELF: PeerId = PeerId::SELF;

fn at(wall: u64) -> Moment {
    Moment { wall, mono: wall }
}

fn cidr(n: u32) -> Cidr {
    Cidr::host(Ipv4Addr::from_bits(n).into())
}

fn drop_key(n: u32) -> RuleKey {
    RuleKey::new(Policy::Drop, cidr(n))
}

fn live(until: u64) -> RecordState {
    RecordState::Live { tag: None, until }
}

fn everything() -> Limits {
    Limits {
        ignore: true,
        ..Limits::default()
    }
}

/// A node, and its peers by the machines 1 to 3.
struct Node {
    replica: Replica,
    peers: Vec<PeerId>,
}

impl Node {
    fn new(machine: u32) -> Self {
        Self::with(machine, &everything(), 1_000_000)
    }

    fn with(machine: u32, limits: &Limits, limit: usize) -> Self {
        let mut replica = Replica::new(NodeId::started(machine, 0), DAY, limit);
        let peers = (1..=3).map(|machine| {
            let peer = replica.introduce(limits);
            replica.heard(peer, NodeId::started(machine, 0), at(1_000));
            peer
        });
        let peers = peers.collect();
        Self { replica, peers }
    }

    fn write(&mut self, n: u32, state: RecordState, wall: u64) -> Record {
        self.replica.write(drop_key(n), state, SELF, at(wall));
        self.replica.own(drop_key(n)).unwrap().record.clone()
    }

    /// What the peer of this machine says.
    fn take(&mut self, machine: usize, n: u32, record: &Record, wall: u64) -> Merge {
        let offer = Offer {
            cidr: cidr(n),
            record: record.clone(),
            shift: 0,
            ended: false,
            heeded: false,
            reason: None,
        };
        let from = self.peers[machine - 1];
        self.replica
            .merge(from, drop_key(n), &offer, &everything(), at(wall))
    }

    /// The machines that want the rule.
    fn wanted_by(&self, n: u32, wall: u64) -> Vec<u32> {
        let all = self.replica.of(drop_key(n));
        let live = all.filter(|(_, slot)| slot.is_live(at(wall)));
        live.map(|(id, _)| id.author).collect()
    }

    fn root(&self) -> u64 {
        self.replica.tree(Policy::Drop).root()
    }
}

#[test]
fn each_machine_has_its_own_register_and_ends_no_other() {
    let [mut a, mut b] = [1, 2].map(Node::new);
    let of_a = a.write(1, live(NEVER), 1_000);
    assert_eq!(b.take(1, 1, &of_a, 1_000), Merge::Newer);
    assert_eq!(b.take(1, 1, &of_a, 1_000), Merge::Same);
    // B's clock is late; that matters to nobody.
    let of_b = b.write(1, live(NEVER), 900);
    assert_eq!(a.take(2, 1, &of_b, 1_000), Merge::Newer);
    assert_eq!(a.root(), b.root());
    assert_eq!(a.wanted_by(1, 2_000), [1, 2]);
    let of_b = b.write(1, RecordState::Deleted, 950);
    assert_eq!(a.take(2, 1, &of_b, 1_000), Merge::Newer);
    for node in [&a, &b] {
        assert_eq!(node.wanted_by(1, 2_000), [1]);
    }
    assert_eq!(a.root(), b.root());
    assert_eq!(a.replica.tree(Policy::Ignore).root(), 0);
}

#[test]
fn a_revocation_ends_what_its_peer_introduced_or_all_where_it_is_trusted_with_that() {
    let trusting = Limits {
        ends_others: true,
        ..everything()
    };
    for (limits, left) in [(everything(), vec![2, 3]), (trusting, vec![])] {
        let mut c = Node::with(3, &limits, 1_000);
        let [mut a, mut b] = [1, 2].map(Node::new);
        let of_b = b.write(1, live(NEVER), 1_000);
        for node in [&mut a, &mut c] {
            node.take(2, 1, &of_b, 1_000);
        }
        let of_c = c.write(1, live(NEVER), 1_000);
        a.take(3, 1, &of_c, 1_000);
        // An earlier life of A.
        let mut old = of_b.clone();
        old.stamp.node = NodeId::started(77, 0);
        c.take(1, 1, &old, 1_000);
        assert_eq!(c.wanted_by(1, 1_000), [2, 3, 77]);
        // A's clock is late: its revocation is later than what it revokes all the same.
        a.replica.revoke(drop_key(1), at(500));
        let revoked = a.replica.own(drop_key(1)).unwrap().record.clone();
        assert_eq!(a.wanted_by(1, 1_000), [0_u32; 0]);
        assert_eq!(c.take(1, 1, &revoked, 1_000), Merge::Newer);
        assert_eq!(c.wanted_by(1, 1_000), left);
        // That stays so when A writes the rule anew.
        let record = a.write(1, RecordState::Deleted, 600);
        assert_eq!(record.revokes, revoked.revokes);
        // What is written anew holds.
        let again = b.write(1, live(NEVER), 2_000);
        c.take(2, 1, &again, 2_000);
        assert!(c.wanted_by(1, 2_000).contains(&2));
        // An old one that arrives later does not.
        let mut late = of_b.clone();
        late.stamp.node = NodeId::started(78, 0);
        c.take(1, 1, &late, 2_000);
        assert!(!c.wanted_by(1, 2_000).contains(&78));
    }
}

#[test]
fn tombstones_are_kept_for_their_lifetime() {
    let [mut a, mut b] = [1, 2].map(Node::new);
    let old = a.write(1, live(NEVER), 1_000);
    let grave = a.write(1, RecordState::Deleted, 2_000);
    b.take(1, 1, &grave, 2_000);
    b.replica.bury(at(DAY), 100);
    assert_eq!(b.take(1, 1, &old, DAY), Merge::Older, "it does not return");
    b.replica.bury(at(DAY + 2_001), 100);
    assert!(b.replica.is_empty());
    assert_eq!(b.root(), 0);
}

#[test]
fn an_expired_rule_stays_only_if_it_replaced_a_longer_one() {
    let [mut a, mut b] = [1, 2].map(Node::new);
    a.write(1, live(5_000), 1_000);
    let longer = a.write(2, live(9_000), 1_000);
    let shorter = a.write(2, live(5_000), 1_000);
    b.take(1, 2, &shorter, 1_000);
    for node in [&mut a, &mut b] {
        node.replica.bury(at(5_000), 100);
    }
    assert!(a.replica.own(drop_key(1)).is_none());
    assert_eq!(b.take(1, 2, &longer, 5_001), Merge::Older);
    b.replica.bury(at(9_000), 100);
    assert!(b.replica.is_empty());
}

#[test]
fn expired_and_future_registers_are_rejected() {
    let [mut a, mut b] = [1, 2].map(Node::new);
    let mut record = b.write(1, live(5_000), 1_000);
    assert_eq!(a.take(2, 1, &record, 5_000), Merge::Over);
    record.state = live(NEVER);
    record.stamp.time = (1_001 + MAX_AHEAD) << 16;
    let ahead = Merge::Refused(Refusal::Ahead { cidr: cidr(1) });
    assert_eq!(a.take(2, 1, &record, 1_000), ahead);
    record.stamp.time = u64::MAX;
    assert_eq!(a.take(2, 1, &record, 1_000), ahead);
}

#[test]
fn renewals_do_not_accumulate() {
    let mut a = Node::new(1);
    for n in 0..50_000 {
        a.write(1, live(10_000 + n), 1_000);
    }
    assert!(a.replica.ends.len() <= STALE + 3);
    a.replica.bury(at(70_000), 100_000);
    assert!(a.replica.is_empty());
}

#[test]
fn a_restored_register_is_identical_and_older_than_new_writes() {
    let [mut a, mut b] = [1, 2].map(Node::new);
    a.replica.note_changes();
    a.write(1, live(NEVER), 50_000);
    let of_b = b.write(2, RecordState::Deleted, 50_000);
    a.take(2, 2, &of_b, 50_000);
    let ids = [(1, 1), (2, 2)].map(|(n, author)| RegisterId {
        key: drop_key(n),
        author,
    });
    assert_eq!(a.replica.drain_changed(), ids);
    assert_eq!(a.replica.drain_changed(), []);
    let mut again = Node::new(1);
    again.replica.note_changes();
    for id in ids {
        let slot = a.replica.get(id).unwrap().clone();
        again.replica.restore(id.key, slot, None);
    }
    assert_eq!(again.replica.drain_changed(), []);
    assert_eq!(again.root(), a.root());
    // The clock was set back in the meantime.
    let record = again.write(1, RecordState::Deleted, 1_001);
    b.take(
        1,
        1,
        &a.replica.own(drop_key(1)).unwrap().record.clone(),
        50_001,
    );
    assert_eq!(b.take(1, 1, &record, 50_001), Merge::Newer);
}

#[test]
fn leaves_are_walked_in_order() {
    let mut a = Node::new(1);
    for n in 0..5_000 {
        a.write(n, live(NEVER), 1_000);
    }
    let all: Vec<u16> = a
        .replica
        .in_leaves(Policy::Drop, (0, u16::MAX))
        .map(|(leaf, ..)| leaf)
        .collect();
    assert_eq!(all.len(), 5_000);
    assert!(all.is_sorted());
    let some = a.replica.in_leaves(Policy::Drop, (100, 200)).count();
    assert_eq!(
        some,
        all.iter().filter(|l| (100..=200).contains(*l)).count()
    );
}
