//! Adding and removing rules does not leak memory.
//!
//! `COUIC_CHANGES=n` sets the number of adds and removes, some hundred thousand by default: `make soak` makes ten million.
#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::{fmt::Write as _, fs};

use couic_e2e::{Daemon, Lab};
use nix::unistd::Pid;

/// Rules at a time.
const RULES: u32 = 20_000;

/// Allowed growth after the first rounds: covers allocators and tables, but not a leak of four bytes per change over
/// ten million changes.
const SLACK: u64 = 24 << 20;

/// Rounds until all reusable memory is allocated.
const WARM_UP: u32 = 3;

fn resident(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok())
        .expect("VmRSS in kB")
        << 10
}

/// Adds rules of both families that no other round has, and removes them.
fn round(daemon: &Daemon<'_>, number: u32) {
    let mut adds = String::new();
    let mut removes = String::new();
    for n in 0..RULES {
        let (n, tag) = (number.wrapping_mul(RULES).wrapping_add(n), n % 7);
        let cidr = if n % 4 == 0 {
            let (high, low) = (n >> 16, n & 0xffff);
            format!("2001:db8:{high:x}:{low:x}::/64")
        } else {
            let [a, b, c, d] = n.wrapping_mul(0x9e37_79b1).to_be_bytes();
            format!("{a}.{b}.{c}.{d}/32")
        };
        let _ = writeln!(
            adds,
            r#"{{"action":"add","entry":{{"cidr":"{cidr}","tag":"t{tag}","expiration":4102444800}}}}"#
        );
        let _ = writeln!(
            removes,
            r#"{{"action":"remove","entry":{{"cidr":"{cidr}"}}}}"#
        );
    }
    for (jobs, done) in [(adds, "added"), (removes, "removed")] {
        let reply = daemon
            .api()
            .request("POST", "/v1/drop/batch", Some(&jobs))
            .expect(200);
        assert_eq!(reply.json()[done], RULES, "{reply:?}");
    }
}

#[test]
fn adding_and_removing_rules_does_not_leak_memory() {
    let Some(lab) = Lab::quiet() else { return };
    let changes: u32 =
        std::env::var("COUIC_CHANGES").map_or(400_000, |n| n.parse().expect("a number"));
    let daemon = lab.daemon().start();
    let rounds = changes.div_ceil(2 * RULES).max(2 * WARM_UP);
    let mut settled = 0;
    for number in 0..rounds {
        round(&daemon, number);
        let now = resident(daemon.pid());
        if number < WARM_UP {
            settled = settled.max(now);
        }
        assert!(
            now <= settled + SLACK,
            "{} MiB after {number} rounds of {RULES} rules, {} MiB after {WARM_UP}",
            now >> 20,
            settled >> 20
        );
    }
    println!(
        "{} changes: {} KiB at first, {} KiB in the end",
        2 * rounds * RULES,
        settled >> 10,
        resident(daemon.pid()) >> 10
    );
    let left = daemon.api().get("/v1/drop");
    assert_eq!(left.as_array().map(Vec::len), Some(0), "{left}");
}
