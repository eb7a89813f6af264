//! Engines over a model of the data plane, whose exchanges are function calls.

use std::{net::Ipv4Addr, sync::Arc, thread, time::Duration};

use couic_common::{Cidr, ClientName, PeerState, Policy, RuleKey, Tag};
use couic_peering::{Limits, LinkSettings, WireRecord};
use couic_testkit::LONG;

mod deletions;
mod durable;
mod expiry;
mod forget;
mod hostile;
mod machine;
mod refused;
mod sharing;

use super::{engine::*, outbound::Step};
use couic_firewall::{
    dataplane::{Limits as Capacity, MemoryPlane},
    rules::{
        Actor, Claim, ClaimRequest, ClaimScope, Clock, Firewall, FirewallError, Job, Origin, Owner,
        SetCatalog, SystemClock,
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

    /// Adds or renews a rule without end.
    fn add_because(&self, n: u32, why: Option<&str>) {
        let metadata = why.map(|why| {
            Arc::new(couic_common::Metadata {
                kind: "test".to_owned(),
                detail: why.to_owned(),
                extra: None,
            })
        });
        let job = Job::Add(rule(n, "", 0), metadata);
        let results = self.firewall.apply(Policy::Drop, vec![job], &client());
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let key = RuleKey::new(Policy::Drop, cidr(n));
        self.engine.absorb_keys(&[key]);
    }

    /// Releases what this node's client wants.
    fn delete(&self, policy: Policy, n: u32) -> Result<(), FirewallError> {
        self.remove(policy, n, &ClaimScope::OWN)
    }

    /// Ends what all clients and peers want here.
    fn unban(&self, n: u32) -> Result<(), FirewallError> {
        self.remove(Policy::Drop, n, &ClaimScope::ALL)
    }

    fn remove(&self, policy: Policy, n: u32, scope: &ClaimScope) -> Result<(), FirewallError> {
        let origin = Origin {
            actor: client(),
            metadata: None,
        };
        self.firewall
            .remove(RuleKey::new(policy, cidr(n)), scope, &origin)?;
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
    for _ in 0..2_000 {
        match from.engine.step(0) {
            Step::Wait(time) if time > Duration::from_millis(500) => return,
            // It looks through its registers, a part at a time.
            Step::Wait(Duration::ZERO) => {}
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

/// Lets `from` push all that it has to `to`, each record spoiled first.
fn push_as(from: &Node, to: &Node, spoil: impl Fn(&mut WireRecord, usize)) {
    let (request, called) = {
        let state = from.engine.state.lock();
        let slots = state.replica.in_leaves(Policy::Drop, (0, u16::MAX));
        let records = slots
            .map(|(_, id, slot)| WireRecord::new(id.key.cidr, slot, state.replica.reason(slot)));
        let mut records: Vec<_> = records.collect();
        for (n, record) in records.iter_mut().enumerate() {
            spoil(record, n);
        }
        let from = couic_peering::Face::of(&state.replica, from.engine.now());
        let gap = 0;
        let request = couic_peering::PushRequest { from, gap, records };
        (request, name("evil"))
    };
    to.engine.push(&called, Policy::Drop, &request).unwrap();
}

/// Synchronizes both nodes.
fn level([a, b]: &[Node; 2]) {
    talk(a, "a", b);
    talk(b, "b", a);
    talk(a, "a", b);
}
