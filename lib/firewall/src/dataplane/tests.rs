//! The writers against a linear scan, on heap memory, through the lookup that the kernel also runs.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use couic_common::{Cidr, Policy, RuleKey};
use couic_ebpf::layout::{CODE_DROP, CODE_IGNORE, CODE_PASS};
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    drop_entries: 3000,
    ignore_entries: 1000,
};

type Rules = BTreeMap<RuleKey, PlaneRule>;

/// The verdict code by looking at every rule; `now` is 0 while a daemon lives.
fn scan(rules: &Rules, source: IpAddr, now: u64) -> u32 {
    let holds = |rule: &PlaneRule| now == 0 || rule.deadline == 0 || rule.deadline > now;
    for (policy, first) in [(Policy::Ignore, CODE_IGNORE), (Policy::Drop, CODE_DROP)] {
        let covering = rules
            .iter()
            .filter(|(key, rule)| key.policy == policy && key.cidr.contains(source) && holds(rule));
        if let Some((_, rule)) = covering.max_by_key(|(key, _)| key.cidr.prefix()) {
            return first + u32::try_from(rule.slot.index()).unwrap();
        }
    }
    CODE_PASS
}

fn plane() -> TablePlane {
    TablePlane::on_heap(LIMITS, [7, 8, 9]).unwrap()
}

fn rule(slot: usize, deadline: u64) -> PlaneRule {
    PlaneRule {
        slot: TagSlot::new(slot).unwrap(),
        deadline,
    }
}

/// Addresses that lie close together often, so that prefixes overlap.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = prop_oneof![
        (0u32..2, 0u32..4, 0u32..4).prop_map(|(b, c, d)| 10 << 24 | b << 16 | c << 8 | (d * 63)),
        any::<u32>(),
        prop_oneof![
            Just(0),
            Just(u32::MAX),
            Just(0x7fff_ffff),
            Just(0x8000_0000)
        ],
    ];
    let v6 = prop_oneof![
        (0u128..2, 0u128..3, 0u128..3, 0u128..3)
            .prop_map(|(a, b, c, d)| (0x2001_0db8 + a) << 96 | b << 80 | c << 64 | d),
        any::<u128>(),
        prop_oneof![Just(0), Just(u128::MAX), Just(0xffff_0a00_0000)],
    ];
    prop_oneof![
        v4.prop_map(|a| Ipv4Addr::from_bits(a).into()),
        v6.prop_map(|a| Ipv6Addr::from_bits(a).into()),
    ]
}

fn cidr() -> impl Strategy<Value = Cidr> {
    (address(), 0u8..=128).prop_map(|(address, len)| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        Cidr::new(address, len % (most + 1)).unwrap()
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![3 => Just(Policy::Drop), 1 => Just(Policy::Ignore)]
}

/// A change: a removal if there is no rule.
type Change = (RuleKey, Option<(usize, u64)>);

fn change() -> impl Strategy<Value = Change> {
    let put = prop::option::weighted(0.7, (0..MAX_TAGS, 0u64..20));
    let key = (policy(), cidr()).prop_map(|(policy, cidr)| RuleKey::new(policy, cidr));
    (key, put)
}

/// First and last address of a prefix, and their neighbours.
fn edges(cidr: Cidr) -> Vec<IpAddr> {
    match cidr {
        Cidr::V4(net) => {
            let last = net.addr() | u32::MAX.checked_shr(net.len().into()).unwrap_or(0);
            let all = [
                net.addr(),
                last,
                net.addr().wrapping_sub(1),
                last.wrapping_add(1),
            ];
            all.map(|a| Ipv4Addr::from_bits(a).into()).to_vec()
        }
        Cidr::V6(net) => {
            let last = net.addr() | u128::MAX.checked_shr(net.len().into()).unwrap_or(0);
            let all = [
                net.addr(),
                last,
                net.addr().wrapping_sub(1),
                last.wrapping_add(1),
            ];
            all.map(|a| Ipv6Addr::from_bits(a).into()).to_vec()
        }
    }
}

fn apply(plane: &mut TablePlane, rules: &mut Rules, (key, put): Change) {
    match put {
        Some((slot, deadline)) => {
            plane.put(key, rule(slot, deadline)).unwrap();
            rules.insert(key, rule(slot, deadline));
        }
        None => {
            // Existing rules are removed more often than missing ones.
            let nearest = rules.range(key..).next().map_or(key, |(k, _)| *k);
            plane.remove(nearest).unwrap();
            rules.remove(&nearest);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn answers_as_a_linear_scan(
        changes in prop::collection::vec(change(), 1..120),
        sources in prop::collection::vec(address(), 64),
        now in 1u64..20,
    ) {
        let (mut plane, mut rules) = (plane(), Rules::new());
        for change in changes {
            apply(&mut plane, &mut rules, change);
            for source in edges(change.0.cidr) {
                prop_assert_eq!(plane.verdict(source), scan(&rules, source, 0), "{} after {:?}", source, change);
            }
        }
        for source in &sources {
            prop_assert_eq!(plane.verdict(*source), scan(&rules, *source, 0), "{}", source);
        }
        // The daemon dies: rules with a deadline up to now end.
        plane.backdate_heartbeat(100, now - 1);
        let now = now - 1 + 100;
        for source in sources {
            prop_assert_eq!(plane.verdict(source), scan(&rules, source, now), "{} stale", source);
        }
    }

    #[test]
    fn what_is_taken_away_leaves_nothing(changes in prop::collection::vec(change(), 1..200)) {
        let (mut plane, mut rules) = (plane(), Rules::new());
        for change in changes {
            apply(&mut plane, &mut rules, change);
        }
        for key in rules.into_keys() {
            plane.remove(key).unwrap();
        }
        prop_assert_eq!(plane.residue(), 0);
    }
}

/// Rules of `LIMITS` fit in any shape, are found while the tables grow, and leave nothing.
fn fills(shape: impl Fn(u32) -> Cidr) {
    let mut plane = plane();
    let all: Vec<RuleKey> = (0..4000)
        .map(|n| {
            let policy = if n < 3000 {
                Policy::Drop
            } else {
                Policy::Ignore
            };
            RuleKey::new(policy, shape(n))
        })
        .collect();
    for (n, RuleKey { policy, cidr }) in all.iter().copied().enumerate() {
        plane
            .put(RuleKey::new(policy, cidr), rule(n % MAX_TAGS, 0))
            .unwrap();
        let code = if policy == Policy::Drop {
            CODE_DROP
        } else {
            CODE_IGNORE
        };
        assert_eq!(
            plane.verdict(cidr.addr()),
            code + u32::try_from(n % MAX_TAGS).unwrap()
        );
    }
    for (n, RuleKey { policy, cidr }) in all.iter().copied().enumerate() {
        let code = if policy == Policy::Drop {
            CODE_DROP
        } else {
            CODE_IGNORE
        };
        assert_eq!(
            plane.verdict(cidr.addr()),
            code + u32::try_from(n % MAX_TAGS).unwrap()
        );
    }
    for key in all {
        plane.remove(key).unwrap();
        assert_eq!(plane.verdict(key.cidr.addr()), CODE_PASS);
    }
    assert_eq!(plane.residue(), 0);
}

fn v4(address: u32, len: u8) -> Cidr {
    Cidr::new(Ipv4Addr::from_bits(address).into(), len).unwrap()
}

fn v6(address: u128, len: u8) -> Cidr {
    Cidr::new(Ipv6Addr::from_bits(address).into(), len).unwrap()
}

#[test]
fn neighbouring_hosts_fit() {
    fills(|n| v4(0x0a00_0000 + n, 32));
}

#[test]
fn hosts_that_differ_in_the_top_bits_fit() {
    fills(|n| v4(n << 20 | 1, 32));
}

#[test]
fn networks_of_one_length_fit() {
    fills(|n| v4(n << 8, 24));
    fills(|n| v4(n << 15, 17));
    fills(|n| v4(n << 1, 31));
}

#[test]
fn ipv6_hosts_of_one_network_fit() {
    fills(|n| v6(0x2001_0db8 << 96 | u128::from(n), 128));
}

#[test]
fn ipv6_networks_of_one_length_fit() {
    fills(|n| v6(u128::from(n) << 96, 32));
    fills(|n| v6(0x2001 << 112 | u128::from(n) << 100, 28));
    fills(|n| v6(u128::from(n) << 64, 64));
    fills(|n| v6(u128::from(n) << 1, 127));
}

#[test]
fn all_ipv6_lengths_at_once_are_told_apart() {
    let (mut plane, base) = (plane(), 0x2001_0db8_0000_0000_0000_0000_0000_0000_u128);
    for len in (0..=128u8).rev() {
        plane
            .put(
                RuleKey::new(Policy::Drop, v6(base, len)),
                rule(len.into(), 0),
            )
            .unwrap();
    }
    for len in 1..=128u8 {
        // The last bit of the prefix turned: covered by all shorter ones only.
        let source = Ipv6Addr::from_bits(base ^ 1 << (128 - len)).into();
        assert_eq!(
            plane.verdict(source),
            CODE_DROP + u32::from(len) - 1,
            "{len}"
        );
    }
    for len in 0..=128u8 {
        plane
            .remove(RuleKey::new(Policy::Drop, v6(base, len)))
            .unwrap();
    }
    assert_eq!(plane.residue(), 0);
}

#[test]
fn more_rules_than_can_be_are_refused() {
    let limits = Limits {
        drop_entries: 20_000_000,
        ignore_entries: 1,
    };
    let error = TablePlane::on_heap(limits, [0; 3]).unwrap_err();
    assert!(error.to_string().contains("lower drop_entries"), "{error}");
}

#[test]
fn a_heartbeat_brings_the_daemon_back() {
    let mut plane = plane();
    let source = Ipv4Addr::new(192, 0, 2, 1).into();
    plane
        .put(RuleKey::new(Policy::Drop, v4(0xc000_0200, 24)), rule(1, 50))
        .unwrap();
    plane.backdate_heartbeat(60, 40);
    assert!(plane.is_stale());
    assert_eq!(plane.verdict(source), CODE_PASS);
    plane.heartbeat(101);
    assert!(!plane.is_stale());
    assert_eq!(plane.verdict(source), CODE_DROP + 1);
}
