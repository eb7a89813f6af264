//! Updates on one thread while packets run on another: every verdict must be consistent with some order of the updates.
//!
//! The verdict for each source is the same before and after each single update, although the rules that decide it
//! change constantly; meanwhile other rules, near and far, are added and removed, and the tables grow.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a failure ends the test"
)]

mod dataplane_common;

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use couic_common::{Cidr, Policy, RuleKey};
use couic_firewall::dataplane::{Limits, Plane, PlaneRule, TablePlane, TagSlot, load_tables};
use dataplane_common::{Random, TestRun, XDP_DROP, XDP_PASS, frame, may_run};

struct Writer {
    plane: TablePlane,
    updates: u64,
}

impl Writer {
    fn put(&mut self, policy: Policy, cidr: &str) {
        self.put_cidr(RuleKey::new(policy, cidr.parse().unwrap()));
    }

    fn put_cidr(&mut self, key: RuleKey) {
        let slot = TagSlot::new(usize::try_from(self.updates % 8192).unwrap()).unwrap();
        self.plane
            .put(key, PlaneRule { slot, deadline: 0 })
            .unwrap();
        self.updates += 1;
    }

    fn remove(&mut self, policy: Policy, cidr: &str) {
        self.plane
            .remove(RuleKey::new(policy, cidr.parse().unwrap()))
            .unwrap();
        self.updates += 1;
    }

    /// Replaces covering rules, adding the new one before removing the old one.
    fn hand_over(&mut self, policy: Policy, covers: &[&str]) {
        for (n, cover) in covers.iter().enumerate() {
            self.put(policy, cover);
            self.remove(policy, covers[(n + covers.len() - 1) % covers.len()]);
        }
    }

    /// Adds drops after the ignore that overrides them, and removes them before it.
    fn shielded(&mut self, shield: &str, drops: &[&str]) {
        self.put(Policy::Ignore, shield);
        for drop in drops {
            self.put(Policy::Drop, drop);
        }
        for drop in drops {
            self.remove(Policy::Drop, drop);
        }
        self.remove(Policy::Ignore, shield);
    }
}

/// Sources with their constant verdicts.
const SOURCES: [(&str, u32); 9] = [
    ("10.1.2.3", XDP_DROP),
    ("10.77.2.3", XDP_DROP),
    ("2001:db8:1:2::3", XDP_DROP),
    ("10.1.7.7", XDP_PASS),
    ("2a00:db8:1:7::7", XDP_PASS),
    ("10.1.99.1", XDP_PASS),
    ("172.16.0.1", XDP_PASS),
    ("10.200.0.1", XDP_DROP),
    ("2001:db8:ffff::1", XDP_DROP),
];

fn hammer(writer: &mut Writer, random: &mut Random, round: u64) {
    let near = [
        "10.1.2.3/32",
        "10.1.2.0/24",
        "10.1.2.2/31",
        "10.1.0.0/22",
        "10.1.2.0/28",
    ];
    let short = [
        "10.77.2.3/32",
        "10.77.0.0/16",
        "10.77.0.0/17",
        "10.76.0.0/15",
        "10.77.2.0/24",
    ];
    let wide = [
        "2001:db8:1:2::3/128",
        "2001:db8:1::/48",
        "2001:db8::/29",
        "2001:db8:1:2::/64",
        "2001::/16",
        "2001:db8::/32",
    ];
    for covers in [&near[..], &short, &wide] {
        writer.hand_over(Policy::Drop, covers);
        writer.put(Policy::Drop, covers[0]);
    }
    writer.shielded(
        "10.1.7.0/24",
        &["10.1.7.7/32", "10.1.7.0/25", "10.1.7.6/31"],
    );
    writer.shielded(
        "10.1.7.7/32",
        &["10.1.7.0/24", "10.1.4.0/22", "10.1.7.7/32"],
    );
    writer.shielded(
        "2a00:db8:1:7::/64",
        &["2a00:db8:1:7::7/128", "2a00:db8:1:7::/64", "2a00:db8::/30"],
    );
    writer.shielded(
        "2a00:db8::/20",
        &["2a00:db8:1:7::/64", "2a00:db8:1:7::/127", "2a00::/16"],
    );
    if round.is_multiple_of(64) {
        writer.shielded(
            "172.0.0.0/8",
            &["172.16.0.0/12", "172.16.0.1/32", "172.16.0.0/16"],
        );
    }
    // Add and remove neighbours in the same /16, /24 and /32, and grow the tables.
    let host = |address: IpAddr| RuleKey::new(Policy::Drop, Cidr::host(address));
    for _ in 0..8 {
        let n = u32::try_from(random.below(1 << 16)).unwrap();
        writer.put_cidr(host((0x0b00_0000 + (n << 8)).to_be_bytes().into()));
        let near = host((0x0a01_c800 | n & 0xff).to_be_bytes().into());
        writer.put_cidr(near);
        writer.plane.remove(near).unwrap();
        let wide = 0x2001_0db8_0001_0009_u128 << 64 | u128::from(n);
        writer.put_cidr(host(wide.to_be_bytes().into()));
    }
}

#[test]
fn no_packet_gets_a_verdict_of_an_intermediate_state() {
    if !may_run() {
        return;
    }
    let mut random = Random::from_environment("dataplane_hammer");
    let limits = Limits {
        drop_entries: 200_000,
        ignore_entries: 1000,
    };
    let (plane, _counters, mut program) = load_tables(limits, false).unwrap();
    let run = TestRun::of(&mut program);
    let mut writer = Writer { plane, updates: 0 };
    for cidr in [
        "10.1.2.3/32",
        "10.77.2.3/32",
        "2001:db8:1:2::3/128",
        "10.200.0.0/16",
        "2001:db8:ffff::/48",
    ] {
        writer.put(Policy::Drop, cidr);
    }
    let (stop, verdicts) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let packets = scope.spawn(|| {
            let frames = SOURCES
                .map(|(source, verdict)| (source, frame(source.parse().unwrap(), &[], 0), verdict));
            let mut wrong = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                for (source, frame, expected) in &frames {
                    let verdict = run.run(frame);
                    if verdict != *expected {
                        wrong.push((*source, verdict));
                    }
                }
                verdicts.fetch_add(frames.len() as u64, Ordering::Relaxed);
            }
            wrong
        });
        let end = Instant::now() + Duration::from_secs(8);
        let mut round = 0;
        while Instant::now() < end || verdicts.load(Ordering::Relaxed) < 10_000 {
            hammer(&mut writer, &mut random, round);
            // Half of the time as if no daemon ran.
            if round % 2048 == 0 {
                writer.plane.heartbeat(1);
            } else if round % 2048 == 1024 {
                writer.plane.backdate_heartbeat(60, 1000);
            }
            round += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let wrong = packets.join().unwrap();
        let (updates, verdicts) = (writer.updates, verdicts.load(Ordering::Relaxed));
        println!("{updates} updates beside {verdicts} verdicts");
        assert!(
            wrong.is_empty(),
            "{} of {verdicts} wrong: {:?}",
            wrong.len(),
            &wrong[..wrong.len().min(9)]
        );
        assert!(updates > 10_000);
    });
}
