//! Nodes that are killed and started again with what their journal has.

use std::{mem, path::Path};

use couic_peering::RecordState;

use super::*;
use couic_firewall::journal::{Journal, Recovered, Rows};

/// A node with its state in this directory, as a start leaves it. `spoil` may change what was recovered.
fn start(dir: &Path, peer: &str, capacity: Capacity, spoil: impl Fn(&mut Recovered)) -> Node {
    let (journal, mut recovered) = Journal::open(&dir.join("state")).unwrap();
    spoil(&mut recovered);
    let registers = mem::take(&mut recovered.registers);
    let firewall = firewall(0, capacity);
    firewall.restore(Arc::new(journal), recovered);
    let trusting = Limits {
        ends_others: true,
        ..Limits::default()
    };
    let node = Node::over(7, &[peer], &trusting, 0, firewall);
    node.engine.restore(registers);
    node.engine.register_existing();
    node
}

pub(super) fn plainly(dir: &Path, peer: &str) -> Node {
    start(dir, peer, ROOM, |_| {})
}

/// As kill -9 leaves it: nothing is closed, synced or told.
pub(super) fn kill(node: Node) {
    mem::forget(node);
}

fn root(node: &Node) -> u64 {
    node.engine.state.lock().replica.tree(Policy::Drop).root()
}

fn apply(node: &Node, job: Job) {
    let results = node.firewall.apply(Policy::Drop, vec![job], &client());
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

fn snapshot(node: &Node) {
    let sources: [&dyn Rows; 2] = [&*node.firewall, &node.engine];
    node.firewall.journal().unwrap().compact(&sources).unwrap();
}

#[test]
fn a_killed_node_has_the_registers_that_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let b = Node::new(&["a"], &Limits::default(), 0, ROOM);
    let nodes = [plainly(dir.path(), "b"), b];
    let [a, b] = &nodes;
    for n in 0..300 {
        a.add(Policy::Drop, n, "own", 0);
        b.add(Policy::Drop, 1_000 + n, "theirs", 0);
    }
    level(&nodes);
    a.delete(Policy::Drop, 5).unwrap();
    b.delete(Policy::Drop, 1_005).unwrap();
    level(&nodes);
    let [mut a, b] = nodes;
    let (digest, rules) = (root(&a), a.rules(Policy::Drop));
    for with_snapshot in [false, true, false] {
        if with_snapshot {
            snapshot(&a);
        }
        kill(a);
        a = plainly(dir.path(), "b");
        assert_eq!((root(&a), a.rules(Policy::Drop)), (digest, rules.clone()));
        assert_eq!(a.held(1_001)[0].owner, Owner::Peer(name("b")));
    }
    // Holders are restored, so no rule appears to be a local change.
    a.engine.scan();
    assert_eq!((root(&a), root(&b)), (digest, digest));
}

/// A claim alone would be this node's own word after a kill, and outlive the peer's deletion.
#[test]
fn a_peers_register_is_in_the_journal_before_its_claim() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = [
        plainly(dir.path(), "b"),
        Node::on(9, &["a"], &Limits::default(), 0, ROOM),
    ];
    for n in 0..300 {
        nodes[1].add(Policy::Drop, n, "", 0);
    }
    level(&nodes);
    let [a, _b] = nodes;
    kill(a);
    let (_, recovered) = Journal::open(&dir.path().join("state")).unwrap();
    for n in 0..300 {
        assert!(recovered.claims.contains_key(&of(n, 9).0), "{n}");
        assert!(recovered.registers[&of(n, 9)].is_older, "{n}");
    }
}

#[test]
fn a_rule_deleted_before_the_kill_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let trusting = Limits {
        ends_others: true,
        ..Limits::default()
    };
    let b = Node::new(&["a"], &trusting, 0, ROOM);
    let nodes = [plainly(dir.path(), "b"), b];
    nodes[0].add(Policy::Drop, 1, "", 0);
    nodes[1].add(Policy::Drop, 2, "", 0);
    level(&nodes);
    let [a, b] = nodes;
    // One that became a register, and one for which there was no time.
    a.delete(Policy::Drop, 1).unwrap();
    apply(&a, Job::Remove(cidr(2), ClaimScope::ALL, None));
    apply(&a, Job::Add(rule(3, "late", 0), None));
    kill(a);
    let nodes = [plainly(dir.path(), "b"), b];
    level(&nodes);
    let left = [(cidr(3), Tag::parse("late").unwrap())];
    for node in &nodes {
        assert_eq!(node.rules(Policy::Drop), left);
    }
}

#[test]
fn a_kill_between_register_and_rule_reverts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let b = Node::on(9, &["a"], &Limits::default(), 0, ROOM);
    let nodes = [plainly(dir.path(), "b"), b];
    nodes[1].add(Policy::Drop, 1, "old", 0);
    nodes[1].add(Policy::Drop, 2, "old", 0);
    level(&nodes);
    let [a, _] = nodes;
    kill(a);
    // Received from a peer just before: a deletion, and a rule with another tag, both without their effect.
    let a = start(dir.path(), "b", ROOM, |recovered| {
        let mut one = |n, state| {
            let saved = recovered.registers.get_mut(&of(n, 9)).unwrap();
            saved.register.record.stamp.time += 1;
            saved.register.record.state = state;
            saved.is_older = false;
        };
        one(1, RecordState::Deleted);
        let tag = Tag::parse("new").unwrap();
        one(
            2,
            RecordState::Live {
                tag,
                until: couic_peering::NEVER,
            },
        );
    });
    let wanted = [(cidr(2), Tag::parse("new").unwrap())];
    assert_eq!(a.rules(Policy::Drop), wanted);
    a.engine.scan();
    assert_eq!(a.rules(Policy::Drop), wanted);
}

/// The register of a rule that this machine wrote.
fn of(n: u32, author: u32) -> (RuleKey, Option<u32>) {
    (RuleKey::new(Policy::Drop, cidr(n)), Some(author))
}

#[test]
fn a_rule_that_is_missing_or_does_not_fit_is_no_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let b = Node::on(9, &["a"], &Limits::default(), 0, ROOM);
    let nodes = [plainly(dir.path(), "b"), b];
    for n in 0..3 {
        nodes[1].add(Policy::Drop, n, "", 0);
    }
    level(&nodes);
    let [a, b] = nodes;
    kill(a);
    // A flipped bit hit the claims on a rule.
    let a = start(dir.path(), "b", ROOM, |recovered| {
        recovered
            .claims
            .remove(&RuleKey::new(Policy::Drop, cidr(1)))
            .unwrap();
        recovered.registers.get_mut(&of(1, 9)).unwrap().is_older = false;
    });
    assert_eq!(a.rules(Policy::Drop).len(), 3, "its register restores it");
    kill(a);
    let tiny = Capacity {
        drop_entries: 1,
        ..ROOM
    };
    let nodes = [start(dir.path(), "b", tiny, |_| {}), b];
    let [a, b] = &nodes;
    a.engine.scan();
    a.engine.tidy();
    level(&nodes);
    assert_eq!(a.rules(Policy::Drop).len(), 1);
    assert_eq!(b.rules(Policy::Drop).len(), 3, "none was told as deleted");
    // A rule kept for lack of room is enforced once there is room, and all nodes agree.
    let there = a.rules(Policy::Drop)[0].0;
    b.firewall.apply(
        Policy::Drop,
        vec![Job::Remove(there, ClaimScope::ALL, None)],
        &client(),
    );
    b.engine.absorb_keys(&[RuleKey::new(Policy::Drop, there)]);
    level(&nodes);
    a.firewall.admit_kept();
    a.engine.scan();
    a.engine.tidy();
    level(&nodes);
    assert_eq!(
        (a.rules(Policy::Drop).len(), b.rules(Policy::Drop).len()),
        (1, 2)
    );
}

/// Adds and deletions on two nodes, one of which is killed again and again at any point between them. Each trusts the
/// other with the deletions of all.
#[test]
fn nothing_is_lost_or_reverted_by_kills() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let trusting = Limits {
        ends_others: true,
        ..Limits::default()
    };
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let b = Node::new(&["a"], &trusting, 0, ROOM);
        let mut nodes = [plainly(dir.path(), "b"), b];
        let mut wanted = std::collections::BTreeSet::new();
        for step in 0..60 {
            let n = chance.u32(..12);
            // The writer knows all earlier writes, so that the order is plain.
            level(&nodes);
            let node = &nodes[chance.usize(..2)];
            let job = if chance.u8(..3) == 0 {
                wanted.remove(&cidr(n));
                Job::Remove(cidr(n), ClaimScope::ALL, None)
            } else {
                wanted.insert(cidr(n));
                Job::Add(rule(n, &format!("t{step}"), 0), None)
            };
            apply(node, job);
            let is_seen = chance.bool();
            if is_seen || std::ptr::eq(node, &raw const nodes[1]) {
                node.engine
                    .absorb_keys(&[RuleKey::new(Policy::Drop, cidr(n))]);
            }
            if chance.u8(..8) == 0 {
                snapshot(&nodes[0]);
            }
            if !is_seen || chance.u8(..5) == 0 {
                let [a, b] = nodes;
                kill(a);
                nodes = [plainly(dir.path(), "b"), b];
            }
        }
        level(&nodes);
        for node in &nodes {
            let held = node.rules(Policy::Drop).into_iter().map(|(cidr, _)| cidr);
            assert!(held.eq(wanted.iter().copied()));
        }
        assert_eq!(root(&nodes[0]), root(&nodes[1]));
    }
}

#[test]
fn reasons_of_registers_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (
        plainly(dir.path(), "b"),
        Node::new(&["a"], &Limits::default(), 0, ROOM),
    );
    a.add_because(1, Some("of a"));
    b.add_because(2, Some("of b"));
    let nodes = [a, b];
    level(&nodes);
    let [mut a, b] = nodes;
    let before = root(&a);
    for compacted in [false, true] {
        if compacted {
            snapshot(&a);
        }
        kill(a);
        a = plainly(dir.path(), "b");
        assert_eq!(root(&a), before);
        for (n, why) in [(1, "of a"), (2, "of b")] {
            let key = RuleKey::new(Policy::Drop, cidr(n));
            let held = a.firewall.claims(key).0;
            assert_eq!(held[0].reason.as_ref().unwrap().as_str(), why);
            let state = a.engine.state.lock();
            let (_, slot) = state.replica.of(key).next().unwrap();
            assert_eq!(state.replica.reason(slot).unwrap().as_str(), why);
        }
    }
    kill(a);
    kill(b);
}
