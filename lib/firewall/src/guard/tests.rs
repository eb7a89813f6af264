//! Refusals and passes of the guard rails, over a host made up for the tests.

mod oracle;
mod sets;

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use couic_common::{Cidr, Policy, RuleKey, TagPattern};

use super::*;
use crate::{
    dataplane::{Limits, MemoryPlane},
    rules::{Actor, ClaimRequest, ClaimScope, Firewall, Job, ManualClock},
};

const NOW: u64 = 1_000;

struct Host(&'static [(Rail, &'static str)], Arc<AtomicUsize>);

impl HostSource for Host {
    fn addresses(&self) -> io::Result<Vec<HostAddress>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let address = |(rail, addr): &(Rail, &str)| HostAddress {
            rail: *rail,
            addr: addr.parse().unwrap(),
            role: "an address of this host (eth0)".to_owned(),
        };
        Ok(self.0.iter().map(address).collect())
    }
}

struct Broken;

impl HostSource for Broken {
    fn addresses(&self) -> io::Result<Vec<HostAddress>> {
        Err(io::Error::other("no netlink here"))
    }
}

const NEEDS: &[(Rail, &str)] = &[
    (Rail::Special, "127.0.0.1"),
    (Rail::Special, "0.0.0.0"),
    (Rail::Host, "192.0.2.2"),
    (Rail::Host, "2001:db8::2"),
    (Rail::Gateway, "192.0.2.1"),
    (Rail::Resolver, "198.18.0.53"),
];

fn firewall() -> Firewall {
    let plane = MemoryPlane::default();
    let clock = Arc::new(ManualClock::new(NOW));
    let (writer, reader) = (Box::new(plane.clone()), Arc::new(plane));
    Firewall::new(writer, reader, Limits::default(), clock)
}

fn guard(enforce: bool) -> Guard {
    guard_without(enforce, Rails::default())
}

fn guard_without(enforce: bool, off: Rails) -> Guard {
    Guard::with_source(enforce, off, Box::new(Host(NEEDS, Arc::default())))
}

fn client() -> Actor {
    Actor::Client("c".parse().unwrap())
}

fn key(policy: Policy, cidr: &str) -> RuleKey {
    RuleKey::new(policy, cidr.parse().unwrap())
}

fn add(firewall: &Firewall, policy: Policy, cidr: &str, expiration: u64) {
    let request = ClaimRequest {
        cidr: cidr.parse().unwrap(),
        tag: couic_common::Tag::parse("t").unwrap(),
        expiration,
    };
    let added = firewall.apply(policy, vec![Job::Add(request, None)], &client());
    added.into_iter().for_each(|result| assert!(result.is_ok()));
}

fn judged(
    check: &GuardCheck<'_>,
    firewall: &Firewall,
    change: Change<'_>,
) -> Option<(Rail, String)> {
    let refusal = check.judge(firewall, &[change]).err()?;
    Some((refusal.reason.rail(), refusal.to_string()))
}

/// The rail that refuses a drop, over no rules at all.
fn refused(check: &GuardCheck<'_>, cidr: &str) -> Option<(Rail, String)> {
    let change = Change::Add(key(Policy::Drop, cidr), &ClaimScope::OWN, &client(), 0);
    let (rail, told) = judged(check, &firewall(), change)?;
    let cidr: Cidr = cidr.parse().unwrap();
    let begin = format!("drop {cidr} is refused by the guard rail {rail}: ");
    assert!(told.starts_with(&begin), "{told}");
    assert!(
        told.ends_with(". If you mean it, send \"force\": true"),
        "{told}"
    );
    Some((rail, told))
}

fn rail(check: &GuardCheck<'_>, cidr: &str) -> Option<Rail> {
    refused(check, cidr).map(|(rail, _)| rail)
}

#[test]
fn what_the_host_needs_is_not_dropped() {
    let guard = guard(true);
    let check = guard.for_request(None);
    for (cidr, expected) in [
        ("192.0.2.2/32", Rail::Host),
        ("192.0.2.0/24", Rail::Host),
        ("192.0.2.1/32", Rail::Gateway),
        ("198.18.0.0/15", Rail::Resolver),
        ("127.0.0.0/8", Rail::Special),
        ("0.0.0.0/32", Rail::Special),
        ("2001:db8::/32", Rail::Host),
        ("0.0.0.0/0", Rail::Host),
        ("128.0.0.0/1", Rail::Host),
        ("::/0", Rail::Host),
        ("2000::/3", Rail::Host),
        ("::ffff:192.0.2.2/128", Rail::Host),
    ] {
        let (rail, told) = refused(&check, cidr).unwrap();
        assert_eq!(rail, expected, "{cidr}");
        assert!(told.contains("an address of this host (eth0)"), "{told}");
    }
    for cidr in ["192.0.2.3/32", "192.0.3.0/24", "2001:db9::/32"] {
        assert_eq!(rail(&check, cidr), None);
    }
}

#[test]
fn a_large_part_of_the_internet_is_not_dropped_nor_protected() {
    let guard = guard(true);
    let check = guard.for_request(None);
    for (cidr, fine) in [
        ("8.0.0.0/7", false),
        ("8.0.0.0/8", true),
        ("2a00::/18", false),
        ("2a00::/19", true),
        ("64.0.0.0/2", false),
        // Where no hosts are, as lists of reserved networks write it.
        ("224.0.0.0/3", true),
        ("240.0.0.0/4", true),
        ("3000::/4", true),
        ("fc00::/7", true),
        ("4000::/3", true),
        ("2000::/7", false),
    ] {
        for policy in [Policy::Drop, Policy::Ignore] {
            let change = Change::Add(key(policy, cidr), &ClaimScope::OWN, &client(), 0);
            let found = judged(&check, &firewall(), change);
            assert_eq!(found.is_none(), fine, "{policy} {cidr}: {found:?}");
        }
    }
    assert!(
        refused(&check, "8.0.0.0/7")
            .unwrap()
            .1
            .contains("shorter than /8")
    );
    assert!(
        refused(&check, "2a00::/18")
            .unwrap()
            .1
            .contains("shorter than /19")
    );
}

#[test]
fn what_the_caller_asks_to_protect() {
    let asked = GuardRequest {
        protect: vec![
            "::ffff:198.51.100.7".parse().unwrap(),
            "2001:db8:5::5".parse().unwrap(),
        ],
        lift: Vec::new(),
    };
    let guard = guard(false);
    let check = guard.for_request(Some(&asked));
    for cidr in [
        "198.51.100.0/24",
        "2001:db8:5::/48",
        "::ffff:198.51.100.7/128",
    ] {
        let (rail, told) = refused(&check, cidr).unwrap();
        assert_eq!(rail, Rail::Caller);
        assert!(told.contains("where you are connected from"), "{told}");
    }
    assert_eq!(rail(&check, "198.51.101.0/24"), None);
}

#[test]
fn rails_hold_for_who_asks_and_for_sets_and_peers() {
    let asked = GuardRequest::default();
    let (plain, enforced) = (guard(false), guard(true));
    let rails = |check: &GuardCheck<'_>| {
        ["192.0.2.2/32", "127.0.0.0/8", "32.0.0.0/3"].map(|cidr| rail(check, cidr).is_some())
    };
    assert_eq!(rails(&plain.for_request(None)), [false; 3]);
    assert_eq!(rails(&plain.for_request(Some(&asked))), [true; 3]);
    assert_eq!(rails(&enforced.for_request(None)), [true; 3]);
    assert_eq!(rails(&plain.for_sets_and_peers()), [true, false, true]);
    assert_eq!(rails(&enforced.for_sets_and_peers()), [true; 3]);
    let off = guard_without(true, Rails::from_iter([Rail::Host, Rail::Width]));
    assert_eq!(rails(&off.for_request(Some(&asked))), [false, true, false]);
    assert_eq!(rails(&off.for_sets_and_peers()), [false, true, false]);
}

#[test]
fn a_protected_address_may_be_dropped_as_long_as_it_is_protected() {
    let (guard, firewall, actor) = (guard(true), firewall(), client());
    let check = guard.for_request(None);
    let drop = |until| {
        Change::Add(
            key(Policy::Drop, "192.0.2.2/31"),
            &ClaimScope::OWN,
            &actor,
            until,
        )
    };
    assert!(judged(&check, &firewall, drop(0)).is_some());
    add(&firewall, Policy::Ignore, "192.0.2.2/32", NOW + 60);
    assert!(judged(&check, &firewall, drop(0)).is_some());
    assert!(judged(&check, &firewall, drop(NOW + 61)).is_some());
    assert_eq!(judged(&check, &firewall, drop(NOW + 60)), None);
    add(&firewall, Policy::Ignore, "192.0.2.2/32", 0);
    assert_eq!(judged(&check, &firewall, drop(0)), None);
}

#[test]
fn protection_is_not_taken_away_while_a_drop_covers_the_address() {
    let (guard, firewall, actor) = (guard(true), firewall(), client());
    let check = guard.for_request(None);
    add(&firewall, Policy::Ignore, "192.0.2.2/32", 0);
    let removal = Change::Remove(
        key(Policy::Ignore, "192.0.2.2/32"),
        &ClaimScope::OWN,
        &actor,
    );
    let pattern: TagPattern = "t".parse().unwrap();
    let by_tag = Change::RemoveByTag(Policy::Ignore, &pattern, false, &actor);
    let shortened = Change::Add(
        key(Policy::Ignore, "192.0.2.2/32"),
        &ClaimScope::OWN,
        &actor,
        NOW + 9,
    );
    let peer = Actor::Peer("p".parse().unwrap());
    let told_by_peer = Change::Remove(key(Policy::Ignore, "192.0.2.2/32"), &ClaimScope::ALL, &peer);
    let all = [removal, by_tag, shortened, told_by_peer];
    for change in all {
        assert_eq!(judged(&check, &firewall, change), None, "nothing drops it");
    }
    add(&firewall, Policy::Drop, "192.0.2.0/24", 0);
    for change in all {
        let (rail, told) = judged(&check, &firewall, change).unwrap();
        assert_eq!(rail, Rail::Host);
        assert!(told.contains("protects 192.0.2.2, an address"), "{told}");
    }
    // A second rule protects it, too.
    add(&firewall, Policy::Ignore, "192.0.2.0/28", 0);
    for change in [removal, shortened, told_by_peer] {
        assert_eq!(judged(&check, &firewall, change), None);
    }
    assert!(
        judged(&check, &firewall, by_tag).is_some(),
        "both carry the tag"
    );
}

#[test]
fn force_says_which_rails_it_goes_over() {
    let guard = guard(false);
    let asked = GuardRequest {
        lift: vec![Rail::Host],
        ..GuardRequest::default()
    };
    let over = |check: &GuardCheck<'_>, cidr: &str| {
        let change = Change::Add(key(Policy::Drop, cidr), &ClaimScope::OWN, &client(), 0);
        let judged = check
            .judge(&firewall(), &[change])
            .map(|(_, over)| over.iter().collect());
        judged.map_err(|refusal| refusal.reason.rail())
    };
    let forced = guard
        .for_request(Some(&GuardRequest::default()))
        .forced(true);
    assert_eq!(over(&forced, "192.0.2.2/32"), Ok(vec![Rail::Host]));
    assert_eq!(
        over(&forced, "128.0.0.0/1"),
        Ok(vec![Rail::Host, Rail::Gateway, Rail::Resolver, Rail::Width])
    );
    assert_eq!(over(&forced, "203.0.113.0/24"), Ok(vec![]));
    let lifted = guard.for_request(Some(&asked));
    assert_eq!(over(&lifted, "192.0.2.2/32"), Ok(vec![Rail::Host]));
    assert_eq!(over(&lifted, "192.0.2.0/24"), Err(Rail::Gateway));
}

#[test]
fn nothing_passes_where_the_host_is_unknown_but_for_sets_and_peers() {
    let guard = |enforce| Guard::with_source(enforce, Rails::default(), Box::new(Broken));
    let enforced = guard(true);
    let check = enforced.for_request(None);
    let (_, told) = refused(&check, "198.51.100.0/24").unwrap();
    assert!(told.contains("no netlink here"), "{told}");
    // Else a host would open at a start for what its lists ban.
    let plain = guard(false);
    assert_eq!(rail(&plain.for_sets_and_peers(), "198.51.100.0/24"), None);
}

#[test]
fn many_requests_ask_the_kernel_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let host = Host(NEEDS, Arc::clone(&asked));
    let guard = Guard::with_source(true, Rails::default(), Box::new(host));
    let start = Instant::now();
    for _ in 0..1000 {
        assert_eq!(
            rail(&guard.for_request(None), "192.0.2.2/32"),
            Some(Rail::Host)
        );
    }
    let most = 1 + usize::try_from(start.elapsed().as_secs()).unwrap();
    assert!((1..=most).contains(&asked.load(Ordering::Relaxed)));
}

#[test]
fn the_kernel_knows_of_loopback() {
    let found = Kernel.addresses().unwrap();
    assert!(found.iter().any(|h| h.addr.is_loopback()), "{found:?}");
}

#[test]
fn health_names_what_is_cut_off_and_what_covers_too_much() {
    let (guard, firewall) = (guard(false), firewall());
    assert_eq!(guard.problems(&firewall), Vec::<String>::new());
    // By a client that asks for no rail.
    add(&firewall, Policy::Drop, "192.0.2.2/31", 0);
    add(&firewall, Policy::Drop, "127.0.0.0/8", 0);
    let told = guard.problems(&firewall).join("\n");
    assert!(
        told.starts_with("drop 192.0.2.2/31 (tag t) cuts off 192.0.2.2, an address"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
    let (guard, firewall) = (guard_without(false, Rails::all()), self::firewall());
    add(&firewall, Policy::Ignore, "64.0.0.0/2", 0);
    assert_eq!(
        guard.problems(&firewall),
        ["ignore covers 25 % of all IPv4 addresses: these pass whatever drop says"]
    );
    add(&firewall, Policy::Drop, "::/1", 0);
    // The count is as old as it is dear.
    let wait = Instant::now();
    while guard.problems(&firewall).len() < 2 && wait.elapsed() < Duration::from_secs(30) {
        std::thread::yield_now();
    }
    assert_eq!(
        guard.problems(&firewall)[0],
        "drop covers 100 % of all IPv6 addresses"
    );
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}
