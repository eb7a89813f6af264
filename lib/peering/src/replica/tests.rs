//! Last write wins, tombstones, covered writes, limits, and registers restored after a restart.

use std::net::Ipv4Addr;

use super::{deadlines::STALE, *};

const DAY: u64 = 86_400_000;

fn at(wall: u64) -> Moment {
    Moment { wall, mono: wall }
}

fn replica(node: u64) -> Replica<()> {
    Replica::new(NodeId(node), at(1_000), DAY, 1_000_000)
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

fn record(replica: &Replica<()>, n: u32) -> Record {
    replica.get(drop_key(n)).unwrap().record.clone()
}

#[test]
fn the_last_write_wins_on_both_sides() {
    let (mut a, mut b) = (replica(1), replica(2));
    a.write(drop_key(1), live(NEVER), (), at(1_000));
    let first = record(&a, 1);
    assert_eq!(
        b.merge(drop_key(1), first.clone(), (), at(1_000)),
        Merge::Newer
    );
    assert_eq!(
        b.merge(drop_key(1), first.clone(), (), at(1_000)),
        Merge::Same
    );
    // B's clock is late, and its deletion is later all the same.
    b.write(drop_key(1), RecordState::Deleted, (), at(900));
    assert_eq!(b.merge(drop_key(1), first, (), at(900)), Merge::Older);
    assert_eq!(
        a.merge(drop_key(1), record(&b, 1), (), at(1_000)),
        Merge::Newer
    );
    assert_eq!(a.tree(Policy::Drop).root(), b.tree(Policy::Drop).root());
    assert_eq!(a.tree(Policy::Ignore).root(), 0);
}

#[test]
fn tombstones_are_kept_for_their_lifetime() {
    let mut a = replica(1);
    a.write(drop_key(1), live(NEVER), (), at(1_000));
    let old = record(&a, 1);
    a.write(drop_key(1), RecordState::Deleted, (), at(2_000));
    a.bury(DAY, 100);
    assert_eq!(
        a.merge(drop_key(1), old, (), at(DAY)),
        Merge::Older,
        "it does not come back"
    );
    a.bury(DAY + 2_001, 100);
    assert!(a.is_empty());
    assert_eq!(a.tree(Policy::Drop).root(), 0);
}

#[test]
fn an_expired_rule_stays_only_if_it_replaced_a_longer_one() {
    let mut a = replica(1);
    a.write(drop_key(1), live(5_000), (), at(1_000));
    a.write(drop_key(2), live(9_000), (), at(1_000));
    let longer = record(&a, 2);
    a.write(drop_key(2), live(5_000), (), at(1_000));
    a.bury(5_000, 100);
    assert!(a.get(drop_key(1)).is_none());
    assert_eq!(a.merge(drop_key(2), longer, (), at(5_001)), Merge::Older);
    a.bury(9_000, 100);
    assert!(a.is_empty());
}

#[test]
fn an_older_write_is_covered_in_either_order() {
    let (mut a, mut b) = (replica(1), replica(2));
    b.write(drop_key(1), live(9_000), (), at(1_000));
    a.write(drop_key(1), live(5_000), (), at(2_000));
    // A receives the older one, and keeps its own until that would have expired.
    let older = record(&b, 1);
    assert_eq!(a.merge(drop_key(1), older, (), at(2_000)), Merge::Older);
    a.bury(8_999, 100);
    assert!(a.get(drop_key(1)).is_some());
    a.bury(9_000, 100);
    assert!(a.is_empty());
}

#[test]
fn excess_expired_and_future_registers_are_rejected() {
    let mut a: Replica<()> = Replica::new(NodeId(1), at(1_000), DAY, 1);
    let mut b = replica(2);
    for n in 1..=3 {
        b.write(drop_key(n), live(5_000), (), at(1_000));
    }
    let merge = |a: &mut Replica<()>, n, wall| a.merge(drop_key(n), record(&b, n), (), at(wall));
    assert_eq!(merge(&mut a, 1, 1_000), Merge::Newer);
    assert_eq!(merge(&mut a, 2, 1_000), Merge::Full);
    assert_eq!(merge(&mut a, 3, 5_000), Merge::Over);
    let mut far = record(&b, 1);
    far.stamp.time = u64::MAX;
    far.state = live(NEVER);
    assert_eq!(a.merge(drop_key(1), far, (), at(1_000)), Merge::Ahead);
}

#[test]
fn renewals_do_not_accumulate() {
    let mut a = replica(1);
    for n in 0..50_000 {
        a.write(drop_key(1), live(10_000 + n), (), at(1_000));
    }
    assert!(a.ends.len() <= STALE + 3, "{}", a.ends.len());
    a.bury(70_000, 100_000);
    assert!(a.is_empty());
}

#[test]
fn a_restored_register_is_identical_and_older_than_new_writes() {
    let mut a = replica(1);
    a.note_changes();
    a.write(drop_key(1), live(NEVER), (), at(50_000));
    a.write(
        RuleKey::new(Policy::Ignore, cidr(2)),
        RecordState::Deleted,
        (),
        at(50_000),
    );
    a.forget(RuleKey::new(Policy::Ignore, cidr(2)));
    let changed = [
        drop_key(1),
        RuleKey::new(Policy::Ignore, cidr(2)),
        RuleKey::new(Policy::Ignore, cidr(2)),
    ];
    assert_eq!(a.drain_changed(), changed);
    assert_eq!(a.drain_changed(), []);
    // The clock was set back in the meantime.
    let mut again = Replica::new(NodeId(2), at(1_000), DAY, 1_000_000);
    again.note_changes();
    let slot = a.get(drop_key(1)).unwrap().clone();
    again.restore(drop_key(1), slot);
    assert_eq!(again.drain_changed(), []);
    assert_eq!(again.tree(Policy::Drop).root(), a.tree(Policy::Drop).root());
    again.write(drop_key(1), RecordState::Deleted, (), at(1_001));
    assert_eq!(
        a.merge(drop_key(1), record(&again, 1), (), at(50_001)),
        Merge::Newer
    );
}

#[test]
fn leaves_are_walked_in_order() {
    let mut a = replica(1);
    for n in 0..5_000 {
        a.write(drop_key(n), live(NEVER), (), at(1_000));
    }
    let all: Vec<u16> = a
        .in_leaves(Policy::Drop, (0, u16::MAX))
        .map(|(leaf, ..)| leaf)
        .collect();
    assert_eq!(all.len(), 5_000);
    assert!(all.is_sorted());
    let some = a.in_leaves(Policy::Drop, (100, 200)).count();
    assert_eq!(
        some,
        all.iter().filter(|l| (100..=200).contains(*l)).count()
    );
}
