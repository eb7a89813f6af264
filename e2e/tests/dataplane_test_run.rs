//! The shipped XDP program on real frames, through BPF_PROG_TEST_RUN.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test stops where something fails"
)]

mod dataplane_common;

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

/// A prefix, addresses within (including first and last), addresses just outside.
const BOUNDARIES: &[(&str, &[&str], &[&str])] = &[
    (
        "0.0.0.0/0",
        &["0.0.0.0", "127.255.255.255", "255.255.255.255"],
        &["::1"],
    ),
    (
        "0.0.0.0/1",
        &["0.0.0.0", "127.255.255.255"],
        &["128.0.0.0", "255.255.255.255"],
    ),
    (
        "128.0.0.0/1",
        &["128.0.0.0", "255.255.255.255"],
        &["0.0.0.0", "127.255.255.255"],
    ),
    (
        "10.0.0.0/7",
        &["10.0.0.0", "11.255.255.255"],
        &["9.255.255.255", "12.0.0.0"],
    ),
    (
        "10.0.0.0/8",
        &["10.0.0.0", "10.255.255.255"],
        &["9.255.255.255", "11.0.0.0"],
    ),
    (
        "172.16.0.0/16",
        &["172.16.0.0", "172.16.255.255"],
        &["172.15.255.255", "172.17.0.0"],
    ),
    (
        "172.16.128.0/17",
        &["172.16.128.0", "172.16.255.255"],
        &["172.16.127.255", "172.17.0.0"],
    ),
    (
        "172.16.64.0/18",
        &["172.16.64.0", "172.16.127.255"],
        &["172.16.63.255", "172.16.128.0"],
    ),
    (
        "192.0.2.0/24",
        &["192.0.2.0", "192.0.2.255"],
        &["192.0.1.255", "192.0.3.0"],
    ),
    (
        "192.0.2.128/25",
        &["192.0.2.128", "192.0.2.255"],
        &["192.0.2.127", "192.0.3.0"],
    ),
    (
        "192.0.2.6/31",
        &["192.0.2.6", "192.0.2.7"],
        &["192.0.2.5", "192.0.2.8"],
    ),
    ("192.0.2.6/32", &["192.0.2.6"], &["192.0.2.5", "192.0.2.7"]),
    ("0.0.0.0/32", &["0.0.0.0"], &["0.0.0.1", "255.255.255.255"]),
    (
        "255.255.255.255/32",
        &["255.255.255.255"],
        &["255.255.255.254", "0.0.0.0"],
    ),
    (
        "::/0",
        &["::", "7fff::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        &["0.0.0.0"],
    ),
    (
        "8000::/1",
        &["8000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        &["7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ),
    (
        "fc00::/7",
        &["fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        &["fbff::", "fe00::"],
    ),
    (
        "2000::/8",
        &["2000::", "20ff:ffff::1"],
        &["1fff:ffff::", "2100::"],
    ),
    (
        "2001::/16",
        &["2001::", "2001:ffff::"],
        &["2000:ffff::", "2002::"],
    ),
    (
        "2001:8000::/17",
        &["2001:8000::", "2001:ffff::"],
        &["2001:7fff:ffff::", "2002::"],
    ),
    (
        "2001:db8::/31",
        &["2001:db8::", "2001:db9:ffff::"],
        &["2001:db7:ffff::", "2001:dba::"],
    ),
    (
        "2001:db8::/32",
        &["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"],
        &["2001:db7:ffff::", "2001:db9::"],
    ),
    (
        "2001:db8:8000::/33",
        &["2001:db8:8000::", "2001:db8:ffff::"],
        &["2001:db8:7fff::", "2001:db9::"],
    ),
    (
        "2001:db8:7::/48",
        &["2001:db8:7::", "2001:db8:7:ffff:ffff:ffff:ffff:ffff"],
        &["2001:db8:6:ffff::", "2001:db8:8::"],
    ),
    (
        "2001:db8:7:9::/64",
        &["2001:db8:7:9::", "2001:db8:7:9:ffff:ffff:ffff:ffff"],
        &["2001:db8:7:8::", "2001:db8:7:a::"],
    ),
    (
        "2001:db8:7:9:8000::/65",
        &["2001:db8:7:9:8000::", "2001:db8:7:9:ffff::"],
        &["2001:db8:7:9:7fff::", "2001:db8:7:a::"],
    ),
    (
        "2001:db8::6/127",
        &["2001:db8::6", "2001:db8::7"],
        &["2001:db8::5", "2001:db8::8"],
    ),
    (
        "2001:db8::6/128",
        &["2001:db8::6"],
        &["2001:db8::5", "2001:db8::7"],
    ),
    (
        "::/128",
        &["::"],
        &["::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ),
    (
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
        &["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
        &["::", "ffff::"],
    ),
    (
        "::ffff:192.0.2.0/120",
        &["::ffff:192.0.2.0", "::ffff:192.0.2.255"],
        &["192.0.2.1", "::ffff:192.0.3.0"],
    ),
];

#[test]
fn prefix_boundaries_are_exact() {
    let Some(mut rig) = rig() else { return };
    for (number, (cidr, inside, outside)) in BOUNDARIES.iter().enumerate() {
        rig.put(Policy::Drop, cidr, number + 1);
        for source in *inside {
            assert_eq!(rig.verdict(source), XDP_DROP, "{source} is in {cidr}");
        }
        for source in *outside {
            assert_eq!(rig.verdict(source), XDP_PASS, "{source} is not in {cidr}");
        }
        let counted = rig.counters.tag(Policy::Drop, slot(number + 1));
        assert_eq!(counted.rx_packets, inside.len() as u64, "{cidr}");
        rig.put(Policy::Ignore, cidr, number + 1);
        for source in *inside {
            assert_eq!(
                rig.verdict(source),
                XDP_PASS,
                "{source} is ignored by {cidr}"
            );
        }
        rig.remove(Policy::Ignore, cidr);
        assert_eq!(rig.verdict(inside[0]), XDP_DROP, "{cidr} again");
        rig.remove(Policy::Drop, cidr);
        for source in *inside {
            assert_eq!(rig.verdict(source), XDP_PASS, "{source} after {cidr} went");
        }
    }
}

#[test]
fn the_longest_prefix_of_the_deciding_policy_counts() {
    let Some(mut rig) = rig() else { return };
    rig.put(Policy::Drop, "10.0.0.0/8", 1);
    rig.put(Policy::Drop, "10.1.2.0/24", 2);
    rig.put(Policy::Drop, "10.1.2.3/32", 3);
    let drops =
        |rig: &Rig| [1, 2, 3].map(|tag| rig.counters.tag(Policy::Drop, slot(tag)).rx_packets);
    for source in ["10.9.9.9", "10.1.2.9", "10.1.2.3"] {
        assert_eq!(rig.verdict(source), XDP_DROP);
    }
    assert_eq!(drops(&rig), [1, 1, 1]);
    rig.put(Policy::Ignore, "0.0.0.0/0", 4);
    rig.put(Policy::Ignore, "10.1.0.0/16", 5);
    for source in ["10.9.9.9", "10.1.2.3", "192.0.2.1"] {
        assert_eq!(rig.verdict(source), XDP_PASS);
    }
    let ignores = [4, 5].map(|tag| rig.counters.tag(Policy::Ignore, slot(tag)).rx_packets);
    assert_eq!((drops(&rig), ignores), ([1, 1, 1], [2, 1]));
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
