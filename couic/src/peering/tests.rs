//! Engines over a model of the data plane, whose exchanges are function calls.

use std::{net::Ipv4Addr, sync::Arc, thread, time::Duration};

use couic_common::{Cidr, ClientName, PeerState, Policy, RuleKey, Tag};
use couic_peering::{Limits, LinkSettings};
use couic_testkit::LONG;

mod durable;
mod machine;

use super::{engine::*, outbound::Step};
use couic_firewall::{
    dataplane::{Limits as Capacity, MemoryPlane},
    rules::{
        Actor, Claim, ClaimRequest, Clock, Firewall, FirewallError, Job, Origin, Owner, SetCatalog,
        SystemClock,
    },
};

/// Machines whose clocks differ.
struct Skewed(i64);

impl Clock for Skewed {
    fn now(&self) -> u64 {
        SystemClock.now().saturating_add_signed(self.0)
    }
}

struct Node {
    engine: Engine,
    firewall: Arc<Firewall>,
}

const ROOM: Capacity = Capacity {
    drop_entries: 100_000,
    ignore_entries: 1_000,
};

impl Node {
    /// A node that lists these peers. Its clock is `skew` seconds ahead.
    fn new(peers: &[&str], limits: &Limits, skew: i64, capacity: Capacity) -> Self {
        let machine = uuid::Uuid::new_v4().as_fields().0;
        Self::on(machine, peers, limits, skew, capacity)
    }

    fn on(machine: u32, peers: &[&str], limits: &Limits, skew: i64, capacity: Capacity) -> Self {
        Self::over(machine, peers, limits, skew, firewall(skew, capacity))
    }

    fn over(
        machine: u32,
        peers: &[&str],
        limits: &Limits,
        skew: i64,
        firewall: Arc<Firewall>,
    ) -> Self {
        let mut link = LinkSettings {
            gather: 0,
            compare: 1,
            ..LinkSettings::default()
        };
        if limits.ignore {
            link.policies = Policy::ALL.to_vec();
        }
        let settings = |name: &&str| PeerSettings {
            name: name.parse().unwrap(),
            endpoint: "test:1".to_owned(),
            limits: limits.clone(),
            link: link.clone(),
        };
        let engine = Engine::new(
            machine,
            Arc::clone(&firewall),
            peers.iter().map(settings).collect(),
            limits.clone(),
            Duration::from_secs(86_400),
            Time::skewed(skew),
        );
        Self { engine, firewall }
    }

    fn pair(limits: &Limits) -> [Self; 2] {
        [
            Self::new(&["b"], limits, 0, ROOM),
            Self::new(&["a"], limits, 0, ROOM),
        ]
    }

    fn add(&self, policy: Policy, n: u32, tag: &str, expiration: u64) {
        let job = Job::Add(rule(n, tag, expiration), None);
        let results = self.firewall.apply(policy, vec![job], &client());
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        self.engine.absorb_keys(&[RuleKey::new(policy, cidr(n))]);
    }

    fn delete(&self, policy: Policy, n: u32) -> Result<(), FirewallError> {
        let origin = Origin {
            actor: client(),
            metadata: None,
        };
        self.firewall
            .remove(RuleKey::new(policy, cidr(n)), &origin)?;
        self.engine.absorb_keys(&[RuleKey::new(policy, cidr(n))]);
        Ok(())
    }

    fn held(&self, n: u32) -> Vec<Claim> {
        self.firewall.claims(RuleKey::new(Policy::Drop, cidr(n))).0
    }

    fn rules(&self, policy: Policy) -> Vec<(Cidr, Option<Tag>)> {
        let entries = self.firewall.page(policy, None, 1_000_000, None);
        entries.into_iter().map(|e| (e.cidr, e.tag)).collect()
    }
}

fn firewall(skew: i64, capacity: Capacity) -> Arc<Firewall> {
    let plane = MemoryPlane::default();
    Arc::new(Firewall::new(
        Box::new(plane.clone()),
        Arc::new(plane),
        capacity,
        Arc::new(Skewed(skew)),
    ))
}

fn cidr(n: u32) -> Cidr {
    Cidr::host(Ipv4Addr::from_bits(0x0a00_0000 + n).into())
}

fn rule(n: u32, tag: &str, expiration: u64) -> ClaimRequest {
    ClaimRequest {
        cidr: cidr(n),
        tag: Tag::parse(tag).unwrap(),
        expiration,
    }
}

fn client() -> Actor {
    Actor::Client("c".parse().unwrap())
}

fn name(text: &str) -> ClientName {
    text.parse().unwrap()
}

/// Lets `from` (called `name` there) say all that it has to say to `to`.
fn talk(from: &Node, called: &str, to: &Node) {
    let called = name(called);
    for _ in 0..500 {
        match from.engine.step(0) {
            Step::Wait(time) if time > Duration::from_millis(500) => return,
            Step::Wait(time) => {
                let info = from.engine.peers().remove(0);
                if info.state == PeerState::InSync && info.queue == 0 {
                    return;
                }
                // A pause that the link asks for.
                thread::sleep(time);
            }
            Step::Digest(policy, body) => {
                let answer = to.engine.digests(&called, policy, &body).unwrap();
                from.engine.answered_digest(0, &answer);
            }
            Step::Push(policy, body) => {
                let answer = to.engine.push(&called, policy, &body).unwrap();
                from.engine.answered_push(0, &answer);
            }
            Step::Pull(policy, body) => {
                let answer = to.engine.pull(&called, policy, &body).unwrap();
                let (peer, outcome) = from.engine.answered_pull(0, &answer).unwrap();
                let theirs = &outcome.theirs;
                let (count, _) = from.engine.accept_pulled(&peer, outcome.policy, theirs);
                assert_eq!(count, theirs.len());
            }
            Step::Plain(..) => panic!("it knows the routes"),
        }
    }
}

/// Synchronizes both nodes.
fn level([a, b]: &[Node; 2]) {
    talk(a, "a", b);
    talk(b, "b", a);
    talk(a, "a", b);
}

#[test]
fn rules_and_deletions_arrive_with_policy_tag_and_owner() {
    let nodes = Node::pair(&Limits {
        ignore: true,
        ..Limits::default()
    });
    let [a, b] = &nodes;
    a.add(Policy::Drop, 1, "ssh", 0);
    a.add(Policy::Ignore, 2, "office", 0);
    level(&nodes);
    for policy in Policy::ALL {
        assert_eq!(a.rules(policy), b.rules(policy));
        assert_eq!(a.rules(policy).len(), 1);
    }
    assert_eq!(b.held(1)[0].owner, Owner::Peer(name("a")));
    // The other side deletes it: the operator is master of his machine, and everybody hears of it.
    b.delete(Policy::Drop, 1).unwrap();
    level(&nodes);
    assert!(a.rules(Policy::Drop).is_empty() && b.rules(Policy::Drop).is_empty());
    // And it is renewed with another tag: the last write holds, under its writer's name.
    a.add(Policy::Drop, 1, "web", 0);
    level(&nodes);
    b.add(Policy::Drop, 1, "db", 0);
    level(&nodes);
    assert_eq!(a.rules(Policy::Drop)[0].1, Tag::parse("db").unwrap());
    assert_eq!(a.held(1)[0].owner, Owner::Peer(name("b")));
    assert_eq!(b.held(1).len(), 1);
}

#[test]
fn ignore_is_shared_only_if_both_sides_allow_it() {
    let open = Limits {
        ignore: true,
        ..Limits::default()
    };
    let nodes = [
        Node::new(&["b"], &open, 0, ROOM),
        Node::new(&["a"], &Limits::default(), 0, ROOM),
    ];
    let [a, b] = &nodes;
    a.add(Policy::Ignore, 1, "", 0);
    a.add(Policy::Drop, 2, "", 0);
    level(&nodes);
    assert!(b.rules(Policy::Ignore).is_empty());
    assert_eq!(b.rules(Policy::Drop).len(), 1);
}

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
fn a_local_change_of_a_rule_that_waits_for_room_is_the_later_write() {
    let nodes = beside_a_full_one();
    let [a, b] = &nodes;
    a.add(Policy::Drop, 2, "theirs", 0);
    level(&nodes);
    b.delete(Policy::Drop, 1).unwrap();
    b.add(Policy::Drop, 2, "mine", 0);
    b.engine.tidy();
    level(&nodes);
    let mine = (cidr(2), Tag::parse("mine").unwrap());
    for node in &nodes {
        assert_eq!(node.rules(Policy::Drop), std::slice::from_ref(&mine));
    }
}

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

/// A node that was cut off has the rule as it was before somebody gave it an end, and hears of that when it has passed:
/// the firewall refuses an expired rule, and must not keep the older one for that.
#[test]
fn an_expiration_that_passed_while_a_node_was_partitioned_ends_the_rule_there_too() {
    let nodes = Node::pair(&Limits::default());
    let [a, b] = &nodes;
    b.add(Policy::Drop, 1, "a", 0);
    level(&nodes);
    a.add(Policy::Drop, 1, "b", SystemClock.now() + 1);
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

#[test]
fn sets_are_not_shared() {
    let nodes = Node::pair(&Limits::default());
    let [a, b] = &nodes;
    let dir = tempfile::tempdir().unwrap();
    let sets = couic_firewall::rules::SetStore::open(dir.path()).unwrap();
    sets.create(Policy::Drop, &"s".parse().unwrap(), &[cidr(1)])
        .unwrap();
    let (catalog, problems): (SetCatalog, _) = sets.load_lenient();
    assert!(problems.is_empty());
    b.firewall.replace_sets(&catalog).unwrap();
    b.engine.scan();
    level(&nodes);
    assert!(a.rules(Policy::Drop).is_empty());
    a.add(Policy::Drop, 1, "", 0);
    level(&nodes);
    a.delete(Policy::Drop, 1).unwrap();
    level(&nodes);
    assert_eq!(b.rules(Policy::Drop).len(), 1, "the set's rule stays");
    assert!(b.held(1).is_empty());
}

#[test]
fn a_restarted_node_gets_everything_back_and_deletions_hold() {
    let nodes = Node::pair(&Limits::default());
    let [a, b] = nodes;
    for n in 0..2_000 {
        a.add(Policy::Drop, n, "", 0);
    }
    let nodes = [a, b];
    level(&nodes);
    let [a, b] = nodes;
    assert_eq!(b.rules(Policy::Drop).len(), 2_000);
    // A is killed; B deletes one meanwhile.
    drop(a);
    b.delete(Policy::Drop, 7).unwrap();
    let again = Node::new(&["b"], &Limits::default(), 0, ROOM);
    // It has kept one rule, say from a journal, that was deleted since: older than the deletion.
    let kept = Job::Add(rule(7, "", 0), None);
    again.firewall.apply(Policy::Drop, vec![kept], &client());
    again.engine.register_existing();
    let nodes = [again, b];
    level(&nodes);
    let [a, b] = &nodes;
    assert_eq!(a.rules(Policy::Drop), b.rules(Policy::Drop));
    assert_eq!(a.rules(Policy::Drop).len(), 1_999);
}

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

#[test]
fn plain_jobs_of_an_old_node_are_relayed() {
    let nodes = Node::pair(&Limits::default());
    let [a, b] = &nodes;
    let old = Actor::Peer(name("old"));
    let add = Job::Add(rule(1, "t", 0), None);
    b.firewall.apply(Policy::Drop, vec![add], &old);
    b.engine.scan();
    level(&nodes);
    assert_eq!(a.held(1)[0].owner, Owner::Peer(name("b")));
    assert_eq!(b.held(1)[0].owner, Owner::Peer(name("old")));
    let remove = Job::Remove(cidr(1), None);
    b.firewall.apply(Policy::Drop, vec![remove], &old);
    b.engine.scan();
    level(&nodes);
    assert!(a.rules(Policy::Drop).is_empty());
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
