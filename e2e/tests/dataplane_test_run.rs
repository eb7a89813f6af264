//! The shipped XDP program on real frames, through BPF_PROG_TEST_RUN.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a failure ends the test"
)]

mod dataplane_common;
#[path = "dataplane_test_run/prefixes.rs"]
mod prefixes;

use std::net::IpAddr;

use couic_common::{Cidr, Counter, Policy, RuleKey};
use couic_firewall::dataplane::{
    Counters, Limits, MappedCounters, Plane, PlaneRule, TablePlane, TagSlot, XdpProgram,
    load_tables,
};
use dataplane_common::{TestRun, XDP_ABORTED, XDP_DROP, XDP_PASS, frame, may_run};

const VLAN: u16 = 0x8100;
const QINQ: u16 = 0x88a8;
const OLD_QINQ: u16 = 0x9100;

struct Rig {
    plane: TablePlane,
    counters: MappedCounters,
    run: TestRun,
    _program: XdpProgram,
}

fn rig() -> Option<Rig> {
    may_run().then(|| {
        let limits = Limits {
            drop_entries: 4000,
            ignore_entries: 1000,
        };
        let (plane, counters, mut program) = load_tables(limits, false).unwrap();
        Rig {
            plane,
            counters,
            run: TestRun::of(&mut program),
            _program: program,
        }
    })
}

fn slot(index: usize) -> TagSlot {
    TagSlot::new(index).unwrap()
}

impl Rig {
    fn put(&mut self, policy: Policy, cidr: &str, tag: usize) {
        let rule = PlaneRule {
            slot: slot(tag),
            deadline: 0,
        };
        self.plane
            .put(RuleKey::new(policy, cidr.parse().unwrap()), rule)
            .unwrap();
    }

    fn remove(&mut self, policy: Policy, cidr: &str) {
        self.plane
            .remove(RuleKey::new(policy, cidr.parse().unwrap()))
            .unwrap();
    }

    fn verdict(&self, source: &str) -> u32 {
        self.run.run(&frame(source.parse().unwrap(), &[], 26))
    }
}

#[test]
fn the_verifier_stays_within_bounds() {
    let Some(rig) = rig() else { return };
    let Some(instructions) = rig._program.verified_instructions() else {
        println!("skipped: this kernel does not report it (Linux 5.16)");
        return;
    };
    println!("the verifier walked {instructions} instructions");
    assert!((500..200_000).contains(&instructions), "{instructions}");
}

#[test]
fn tagged_and_untagged_sources_are_filtered() {
    let Some(mut rig) = rig() else { return };
    rig.put(Policy::Drop, "198.51.100.7/32", 3);
    rig.put(Policy::Drop, "2001:db8:7::/48", 4);
    let tags: [&[u16]; 9] = [
        &[],
        &[OLD_QINQ, VLAN, VLAN],
        &[QINQ, VLAN, OLD_QINQ, VLAN],
        &[VLAN],
        &[QINQ],
        &[QINQ, VLAN],
        &[VLAN, VLAN],
        &[VLAN, QINQ],
        &[QINQ, QINQ],
    ];
    for tags in tags {
        for (source, verdict) in [
            ("198.51.100.7", XDP_DROP),
            ("198.51.100.8", XDP_PASS),
            ("2001:db8:7::1", XDP_DROP),
            ("2001:db8:8::1", XDP_PASS),
        ] {
            let frame = frame(source.parse().unwrap(), tags, 26);
            assert_eq!(rig.run.run(&frame), verdict, "{source} behind {tags:x?}");
        }
    }
    let tag = |index| rig.counters.tag(Policy::Drop, slot(index));
    assert_eq!(
        tag(3),
        Counter {
            rx_packets: 9,
            rx_bytes: 9 * (14 + 20 + 26) + 4 * 17
        }
    );
    assert_eq!(
        tag(4),
        Counter {
            rx_packets: 9,
            rx_bytes: 9 * (14 + 40 + 26) + 4 * 17
        }
    );
    assert_eq!(rig.counters.actions().xdp_drop.rx_packets, 18);
    assert_eq!(rig.counters.actions().xdp_pass.rx_packets, 18);
}

#[test]
fn runts_of_every_length_are_counted_and_dropped() {
    let Some(rig) = rig() else { return };
    let mut runts = 0;
    let mut passed = 0;
    for source in ["203.0.113.1", "2001:db8::1"] {
        let source: IpAddr = source.parse().unwrap();
        for tags in [&[][..], &[VLAN], &[QINQ, VLAN]] {
            let whole = frame(source, tags, 0);
            // The kernel accepts no test frame shorter than an Ethernet header.
            for length in 14..=whole.len() {
                let verdict = rig.run.run(&whole[..length]);
                let expected = if length < whole.len() {
                    XDP_ABORTED
                } else {
                    XDP_PASS
                };
                assert_eq!(
                    verdict, expected,
                    "{source} behind {tags:x?}, {length} bytes"
                );
                runts += u64::from(length < whole.len());
                passed += u64::from(length == whole.len());
            }
        }
    }
    let actions = rig.counters.actions();
    assert_eq!(actions.xdp_aborted.rx_packets, runts);
    assert_eq!(actions.xdp_pass.rx_packets, passed);
    assert!(actions.xdp_aborted.rx_bytes >= runts * 14);
    assert_eq!(actions.xdp_drop, Counter::default());
}

#[test]
fn non_ip_frames_pass() {
    let Some(mut rig) = rig() else { return };
    rig.put(Policy::Drop, "0.0.0.0/0", 1);
    rig.put(Policy::Drop, "::/0", 1);
    let mut arp = frame("192.0.2.1".parse().unwrap(), &[], 26);
    arp[12..14].copy_from_slice(&0x0806u16.to_be_bytes());
    assert_eq!(rig.run.run(&arp), XDP_PASS);
    let once = |frame: &[u8]| Counter {
        rx_packets: 1,
        rx_bytes: frame.len() as u64,
    };
    // Too many tags to be parsed, although a host would strip them.
    let deep = frame(
        "192.0.2.1".parse().unwrap(),
        &[QINQ, VLAN, VLAN, VLAN, VLAN],
        26,
    );
    assert_eq!(rig.run.run(&deep), XDP_ABORTED);
    assert_eq!(rig.counters.actions().xdp_pass, once(&arp));
    assert_eq!(rig.counters.actions().xdp_aborted, once(&deep));
    assert_eq!(rig.counters.not_inspected().arp, once(&arp));
    assert_eq!(rig.counters.not_inspected().vlan, once(&deep));
}

#[test]
fn multi_buffer_frames_are_counted_with_all_bytes() {
    let Some(mut rig) = rig() else { return };
    rig.put(Policy::Drop, "198.51.100.0/24", 9);
    let frame = frame("198.51.100.1".parse().unwrap(), &[], 8930);
    match rig.run.try_run(&frame, &[]) {
        Ok(verdict) => assert_eq!(verdict, XDP_DROP),
        Err(error) => {
            println!(
                "skipped: this kernel runs no frames of several buffers (Linux 5.18): {error}"
            );
            return;
        }
    }
    let counted = rig.counters.tag(Policy::Drop, slot(9));
    assert_eq!(
        counted,
        Counter {
            rx_packets: 1,
            rx_bytes: frame.len() as u64
        }
    );
}

#[test]
fn headers_across_buffers_are_read() {
    let Some(mut rig) = rig() else { return };
    rig.put(Policy::Drop, "198.51.100.0/24", 9);
    rig.put(Policy::Drop, "2001:db8::/32", 9);
    for source in ["198.51.100.1", "2001:db8::1"] {
        let frame = frame(source.parse().unwrap(), &[QINQ, VLAN], 200);
        for linear in [14u32, 16, 20, 30, 41, 61] {
            // struct xdp_md with data at 0 and data_end inside the frame (Linux 6.18): the rest becomes fragments.
            let mut context = [0u8; 24];
            context[4..8].copy_from_slice(&linear.to_ne_bytes());
            match rig.run.try_run(&frame, &context) {
                Ok(verdict) => assert_eq!(
                    verdict, XDP_DROP,
                    "{source}, {linear} bytes in the first buffer"
                ),
                Err(error) => {
                    println!("skipped: this kernel does not split test frames: {error}");
                    return;
                }
            }
        }
    }
}

#[test]
fn every_tag_slot_counts_on_its_own() {
    let Some(mut rig) = rig() else { return };
    let address = |tag: usize| IpAddr::from([10, 9, (tag >> 8) as u8, tag as u8]);
    let tags = || (0..4000).map(|n| n * 2 + 190);
    for tag in tags() {
        let rule = PlaneRule {
            slot: slot(tag),
            deadline: 0,
        };
        rig.plane
            .put(RuleKey::new(Policy::Drop, Cidr::host(address(tag))), rule)
            .unwrap();
    }
    for tag in tags() {
        assert_eq!(rig.run.run(&frame(address(tag), &[], tag % 64)), XDP_DROP);
    }
    for tag in tags() {
        let expected = Counter {
            rx_packets: 1,
            rx_bytes: (34 + tag % 64) as u64,
        };
        assert_eq!(rig.counters.tag(Policy::Drop, slot(tag)), expected, "{tag}");
        assert_eq!(
            rig.counters.tag(Policy::Drop, slot(tag + 1)),
            Counter::default()
        );
    }
}
