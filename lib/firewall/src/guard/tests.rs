//! Refusals and passes of the guard rails, over a host made up for the tests.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

struct Host(&'static [&'static str], Arc<AtomicUsize>);

impl HostSource for Host {
    fn addresses(&self) -> io::Result<Vec<HostAddress>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let address = |a: &&str| HostAddress {
            addr: a.parse().unwrap(),
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

fn guard(enforce: bool) -> Guard {
    let host = Host(&["127.0.0.1", "192.0.2.2", "2001:db8::2"], Arc::default());
    Guard::with_source(enforce, Box::new(host))
}

fn refused(check: &GuardCheck, cidr: &str) -> Option<String> {
    let refusal = check.check(cidr.parse().unwrap()).err()?;
    let told = refusal.to_string();
    assert!(
        told.starts_with(&format!("drop {cidr} is refused: ")),
        "{told}"
    );
    let end = ". If you mean it, send \"force\": true";
    assert!(told.ends_with(end), "{told}");
    Some(told)
}

#[test]
fn covers_this_host() {
    let guard = guard(true);
    let check = guard.for_request(Policy::Drop, None).unwrap();
    for cidr in [
        "192.0.2.2/32",
        "192.0.2.0/24",
        "127.0.0.0/8",
        "2001:db8::/32",
        "0.0.0.0/0",
        "::/0",
    ] {
        let told = refused(&check, cidr).unwrap();
        assert!(told.contains("an address of this host (eth0)"), "{told}");
    }
    for cidr in [
        "192.0.2.3/32",
        "192.0.3.0/24",
        "2001:db9::/32",
        "::ffff:192.0.2.2/128",
    ] {
        assert_eq!(refused(&check, cidr), None);
    }
}

#[test]
fn a_large_part_of_the_internet() {
    let guard = guard(true);
    let check = guard.for_request(Policy::Drop, None).unwrap();
    for (cidr, fine) in [
        ("8.0.0.0/7", false),
        ("8.0.0.0/8", true),
        ("3000::/18", false),
        ("3000::/19", true),
    ] {
        assert_eq!(refused(&check, cidr).is_none(), fine, "{cidr}");
    }
    assert!(
        refused(&check, "8.0.0.0/7")
            .unwrap()
            .contains("shorter than /8")
    );
    assert!(
        refused(&check, "3000::/18")
            .unwrap()
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
    };
    let guard = guard(false);
    let check = guard.for_request(Policy::Drop, Some(&asked)).unwrap();
    for cidr in [
        "198.51.100.0/24",
        "2001:db8:5::/48",
        "::ffff:198.51.100.7/128",
    ] {
        assert!(
            refused(&check, cidr)
                .unwrap()
                .contains("where you are connected from")
        );
    }
    assert_eq!(refused(&check, "198.51.101.0/24"), None);
}

#[test]
fn only_where_asked_or_enforced_and_never_for_ignore() {
    let asked = GuardRequest::default();
    for (enforce, policy, request, expected) in [
        (false, Policy::Drop, None, false),
        (false, Policy::Drop, Some(&asked), true),
        (true, Policy::Drop, None, true),
        (true, Policy::Ignore, Some(&asked), false),
    ] {
        assert_eq!(
            guard(enforce).for_request(policy, request).is_some(),
            expected
        );
    }
}

#[test]
fn nothing_passes_where_the_host_is_unknown() {
    let guard = Guard::with_source(true, Box::new(Broken));
    let check = guard.for_request(Policy::Drop, None).unwrap();
    assert!(
        refused(&check, "198.51.100.0/24")
            .unwrap()
            .contains("no netlink here")
    );
}

#[test]
fn many_requests_ask_the_kernel_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let guard = Guard::with_source(true, Box::new(Host(&["192.0.2.2"], Arc::clone(&asked))));
    let start = Instant::now();
    for _ in 0..1000 {
        assert!(guard.for_request(Policy::Drop, None).is_some());
    }
    let most = 1 + usize::try_from(start.elapsed().as_secs()).unwrap();
    assert!((1..=most).contains(&asked.load(Ordering::Relaxed)));
}

#[test]
fn the_kernel_knows_of_loopback() {
    let found = Kernel.addresses().unwrap();
    assert!(found.iter().any(|h| h.addr.is_loopback()), "{found:?}");
}
