//! Damaged tables are found and mended.

use std::{net::IpAddr, sync::Arc};

use parking_lot::Mutex;

use super::*;
use crate::{
    dataplane::{Corruption, Limits, MemoryPlane, Plane, PlaneError, TablePlane, Valve},
    rules::{Actor, ClaimRequest, Job, ManualClock, SystemClock},
};

/// Tables that a test can damage while a firewall has them.
#[derive(Clone)]
struct Shared(Arc<Mutex<TablePlane>>);

impl Plane for Shared {
    fn put(&mut self, key: RuleKey, rule: PlaneRule) -> Result<(), PlaneError> {
        self.0.lock().put(key, rule)
    }

    fn remove(&mut self, key: RuleKey) -> Result<(), PlaneError> {
        self.0.lock().remove(key)
    }

    fn heartbeat(&mut self, now: u64) {
        self.0.lock().heartbeat(now);
    }

    fn held(&self, key: RuleKey) -> Option<PlaneRule> {
        self.0.lock().held(key)
    }

    fn decides(&self, source: IpAddr) -> Option<(Policy, TagSlot)> {
        self.0.lock().decides(source)
    }

    fn erase(&mut self, key: RuleKey) {
        self.0.lock().erase(key);
    }

    fn walk(&self, from: usize, places: usize, show: &mut dyn FnMut(RuleKey)) -> Option<usize> {
        self.0.lock().walk(from, places, show)
    }

    fn valve(&self) -> Arc<dyn Valve> {
        self.0.lock().valve()
    }
}

const SEED: [u64; 3] = [3, 5, 7];

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn limits() -> Limits {
    Limits {
        drop_entries: 50_000,
        ignore_entries: 1000,
    }
}

fn add(firewall: &Firewall, policy: Policy, cidrs: impl IntoIterator<Item = Cidr>) {
    let job = |cidr| {
        let rule = ClaimRequest {
            cidr,
            tag: None,
            expiration: 0,
        };
        Job::Add(rule, None)
    };
    let jobs = cidrs.into_iter().map(job).collect();
    let actor = Actor::Client("test".parse().unwrap());
    for done in firewall.apply(policy, jobs, &actor) {
        done.unwrap();
    }
}

fn over_tables() -> (Firewall, Shared) {
    let tables = TablePlane::on_heap(limits(), SEED).unwrap();
    let plane = Shared(Arc::new(Mutex::new(tables)));
    let firewall = Firewall::new(
        Box::new(plane.clone()),
        Arc::new(MemoryPlane::default()),
        limits(),
        Arc::new(SystemClock),
    );
    (firewall, plane)
}

/// Of all kinds, covering and covered, of both policies.
fn fill(firewall: &Firewall) {
    let hosts = (0..20_000u32).map(|n| Cidr::host(std::net::Ipv4Addr::from_bits(n << 9).into()));
    add(firewall, Policy::Drop, hosts);
    let more = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.128/25"];
    add(firewall, Policy::Drop, more.map(cidr));
    let six = [
        "2001:db8::1/128",
        "2001:db8::/32",
        "2001:d00::/24",
        "2000::/8",
    ];
    add(firewall, Policy::Drop, six.map(cidr));
    add(
        firewall,
        Policy::Ignore,
        ["10.1.0.0/17", "2001:db8::1/128"].map(cidr),
    );
}

#[test]
fn in_sound_tables_there_is_no_difference() {
    let (firewall, _) = over_tables();
    fill(&firewall);
    let mut check = SelfCheck::default();
    let mut rules = 0;
    for _ in 0..3 {
        let found = check.round(&firewall);
        assert!(
            found.healed.is_empty() && found.left.is_empty(),
            "{found:?}"
        );
        rules += found.rules;
    }
    // Every round goes on behind the one before it, and begins anew at the end.
    assert_eq!(rules, 16_384 + (20_008 - 16_384) + 16_384 + 3 * 2);
}

#[test]
fn damaged_tables_are_mended() {
    for kind in [
        Corruption::Host4,
        Corruption::Spurious4,
        Corruption::Prefilter4,
        Corruption::Pool6,
    ] {
        let (firewall, plane) = over_tables();
        fill(&firewall);
        plane.0.lock().corrupt(kind);
        let mut check = SelfCheck::default();
        let mut healed = 0;
        for _ in 0..3 {
            let found = check.round(&firewall);
            assert!(found.left.is_empty(), "{kind:?} {found:?}");
            healed += found.healed.len();
        }
        assert!(healed > 0, "{kind:?}");
        for _ in 0..3 {
            let found = check.round(&firewall);
            assert!(found.healed.is_empty(), "{kind:?} is mended: {found:?}");
        }
    }
}

#[test]
fn what_is_past_its_time_is_taken_away() {
    let (plane, clock) = (MemoryPlane::default(), Arc::new(ManualClock::new(100)));
    let firewall = Firewall::new(
        Box::new(plane.clone()),
        Arc::new(plane.clone()),
        limits(),
        Arc::<ManualClock>::clone(&clock),
    );
    let actor = Actor::Client("test".parse().unwrap());
    let one = cidr("192.0.2.0/24");
    let rule = ClaimRequest {
        cidr: one,
        tag: None,
        expiration: 200,
    };
    firewall.apply(Policy::Drop, vec![Job::Add(rule, None)], &actor);
    add(&firewall, Policy::Drop, [cidr("10.0.0.0/8")]);
    firewall.core.lock().deadlines_mut().sweep(|_, _| false);
    clock.set(199);
    assert_eq!(SelfCheck::default().round(&firewall).healed, []);
    clock.set(200);
    assert_eq!(firewall.expire_due(), 0, "no deadline is known");
    let found = SelfCheck::default().round(&firewall);
    assert_eq!(
        (found.healed, found.left),
        (vec![RuleKey::new(Policy::Drop, one)], vec![])
    );
    assert_eq!(plane.held(RuleKey::new(Policy::Drop, one)), None);
    assert_eq!(firewall.stats().drop_cidr_count, 1);
}

#[test]
fn every_kind_of_difference_is_found_and_what_cannot_be_mended_is_told() {
    let plane = MemoryPlane::default();
    let firewall = Firewall::new(
        Box::new(plane.clone()),
        Arc::new(plane.clone()),
        limits(),
        Arc::new(SystemClock),
    );
    let (one, two) = (cidr("192.0.2.0/24"), cidr("198.51.100.7/32"));
    add(&firewall, Policy::Drop, [one]);
    let other = |slot, deadline| {
        let slot = TagSlot::new(slot).unwrap();
        Some(PlaneRule { slot, deadline })
    };
    for (policy, cidr, rule) in [
        (Policy::Drop, one, None),
        (Policy::Drop, one, other(3, 0)),
        (Policy::Drop, one, other(0, 77)),
        (Policy::Drop, two, other(0, 0)),
        (Policy::Ignore, one, other(0, 0)),
    ] {
        let key = RuleKey::new(policy, cidr);
        plane.tamper(key, rule);
        let found = SelfCheck::default().round(&firewall);
        // An ignore without a claim hides the drop as well; only its removal repairs that.
        assert!(found.healed.contains(&key), "{key} {rule:?}");
        let found = SelfCheck::default().round(&firewall);
        assert!(
            found.healed.is_empty() && found.left.is_empty(),
            "{found:?}"
        );
    }
    plane.tamper(RuleKey::new(Policy::Drop, one), None);
    plane.fail_put_after(0);
    // The second attempt succeeds; a model that refuses for ever does not.
    let found = SelfCheck::default().round(&firewall);
    assert_eq!(found.healed, [RuleKey::new(Policy::Drop, one)]);
    plane.tamper(RuleKey::new(Policy::Drop, one), None);
    plane.refuse_puts(true);
    let found = SelfCheck::default().round(&firewall);
    assert_eq!(
        (found.healed.len(), found.left),
        (0, vec![RuleKey::new(Policy::Drop, one)])
    );
    plane.refuse_puts(false);
    let found = SelfCheck::default().round(&firewall);
    assert_eq!(found.healed, [RuleKey::new(Policy::Drop, one)]);
}
