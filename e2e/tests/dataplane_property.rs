//! The shipped program against a linear scan over the rules, on real frames: random rule sets of all lengths, both
//! policies, overlaps, adds, removals, renewals and expiries. COUIC_SEED repeats a run; COUIC_SECONDS (12) is the
//! minimum duration, COUIC_VERDICTS (200,000) the minimum number of verdicts, also on a slow machine.

#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a failure ends the test"
)]

mod dataplane_common;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use couic_common::{Cidr, Policy, RuleKey};
use couic_firewall::dataplane::{Counters, Limits, Plane, PlaneRule, TagSlot, load_tables};
use dataplane_common::{Random, TestRun, XDP_DROP, XDP_PASS, frame, may_run};

type Rules = Vec<(Policy, Cidr, PlaneRule)>;

/// Verdicts decided by each rule since it was added.
type Hits = BTreeMap<RuleKey, u64>;

/// The rule that decides about a source: policy, tag slot and CIDR of the longest covering prefix. `now` is 0 while a
/// daemon runs.
fn scan(rules: &Rules, source: IpAddr, now: u64) -> Option<(Policy, TagSlot, Cidr)> {
    let mut best: [Option<(Cidr, TagSlot)>; 2] = [None; 2];
    for (policy, cidr, rule) in rules {
        let over = now != 0 && rule.deadline != 0 && rule.deadline <= now;
        if over || !cidr.contains(source) {
            continue;
        }
        let best = &mut best[usize::from(*policy == Policy::Drop)];
        if best.is_none_or(|(other, _)| other.prefix() < cidr.prefix()) {
            *best = Some((*cidr, rule.slot));
        }
    }
    match best {
        [Some((cidr, slot)), _] => Some((Policy::Ignore, slot, cidr)),
        [None, Some((cidr, slot))] => Some((Policy::Drop, slot, cidr)),
        [None, None] => None,
    }
}

/// Random addresses, close enough for prefixes to overlap, in a neighbourhood that changes by epoch.
fn address(random: &mut Random, epoch: u64) -> IpAddr {
    let bits = random.next();
    let near = u32::try_from(epoch.wrapping_mul(0x9E37_79B9) >> 8 & 0xffff_0000).unwrap();
    match bits % 8 {
        0 => Ipv4Addr::from_bits((bits >> 32) as u32).into(),
        1 => Ipv4Addr::from_bits(near | (bits >> 32) as u32 & 0xffff).into(),
        2 | 3 => Ipv4Addr::from_bits(near | (bits >> 32) as u32 & 0x0303).into(),
        4 => Ipv6Addr::from_bits(u128::from(random.next()) << 64 | u128::from(bits)).into(),
        _ => {
            // Varies a few bits at the boundaries of lengths only.
            let mut wide = u128::from(near) << 96;
            for at in [
                0, 1, 31, 32, 62, 63, 64, 65, 79, 80, 94, 95, 96, 97, 110, 111,
            ] {
                wide ^= u128::from(random.next() >> 63) << at;
            }
            Ipv6Addr::from_bits(wide).into()
        }
    }
}

/// Adds, renews or removes a rule. Removal clears its hits, also for a later rule of the same CIDR.
fn change(
    random: &mut Random,
    plane: &mut dyn Plane,
    (rules, hits): (&mut Rules, &mut Hits),
    epoch: u64,
) {
    let policy = if random.below(4) == 0 {
        Policy::Ignore
    } else {
        Policy::Drop
    };
    if random.below(3) == 0 && !rules.is_empty() {
        let at = usize::try_from(random.below(rules.len() as u64)).unwrap();
        let (policy, cidr, _) = rules.swap_remove(at);
        plane.remove(RuleKey::new(policy, cidr)).unwrap();
        hits.remove(&RuleKey::new(policy, cidr));
        return;
    }
    let source = address(random, epoch);
    let most = if source.is_ipv4() { 33 } else { 129 };
    // Very short prefixes decide about everything, so they are rare.
    let mut len = random.below(most);
    if len < 8 && random.below(4) != 0 {
        len += 16;
    }
    let cidr = Cidr::new(source, u8::try_from(len).unwrap()).unwrap();
    let slot = TagSlot::new(usize::try_from(random.below(8192)).unwrap()).unwrap();
    let rule = PlaneRule {
        slot,
        deadline: random.below(8) * 1000,
    };
    plane.put(RuleKey::new(policy, cidr), rule).unwrap();
    rules.retain(|(p, c, _)| (*p, *c) != (policy, cidr));
    rules.push((policy, cidr, rule));
}

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Asserts that the data plane's hits of each rule match those of the scan.
fn compare_hits(plane: &dyn Plane, rules: &Rules, hits: &Hits) {
    for (policy, cidr, _) in rules {
        let usage = plane.usage(RuleKey::new(*policy, *cidr)).unwrap();
        let expected = hits
            .get(&RuleKey::new(*policy, *cidr))
            .copied()
            .unwrap_or(0);
        assert_eq!(usage.hits, expected, "hits of {policy} {cidr}");
        assert_eq!(usage.last_seen == 0, expected == 0, "{policy} {cidr}");
    }
}

#[test]
fn millions_of_verdicts_match_a_linear_scan() {
    if !may_run() {
        return;
    }
    let mut random = Random::from_environment("dataplane_property");
    let (seconds, least) = (
        setting("COUIC_SECONDS", 12),
        setting("COUIC_VERDICTS", 200_000),
    );
    let limits = Limits {
        drop_entries: 2000,
        ignore_entries: 2000,
    };
    let (mut plane, counters, mut program) = load_tables(limits, true).unwrap();
    let run = TestRun::of(&mut program);
    let mut expected: BTreeMap<(Policy, TagSlot), u64> = BTreeMap::new();
    let (mut verdicts, mut deciding, mut stale, mut epoch) = (0u64, 0u64, 0u64, 0);
    let (mut rules, mut hits) = (Rules::new(), Hits::new());
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end || verdicts < least || stale == 0 {
        epoch += 1;
        compare_hits(&plane, &rules, &hits);
        // Some epochs start empty, so that small rule sets are tested, too.
        if epoch % 8 == 0 || rules.len() > 150 {
            for (policy, cidr, _) in rules.drain(..) {
                plane.remove(RuleKey::new(policy, cidr)).unwrap();
            }
            hits.clear();
        }
        for _ in 0..random.below(24) {
            change(&mut random, &mut plane, (&mut rules, &mut hits), epoch);
        }
        // Deadlines are multiples of 1,000; without a daemon, the time is halfway between, plus the duration of the
        // run.
        let now = if random.below(3) == 0 {
            random.below(8) * 1000 + 500
        } else {
            0
        };
        if now == 0 {
            plane.heartbeat(1);
        } else {
            plane.backdate_heartbeat(60, now - 60);
        }
        for _ in 0..least.min(20_000) {
            let source = match random.below(3) {
                0 if !rules.is_empty() => rules
                    [usize::try_from(random.below(rules.len() as u64)).unwrap()]
                .1
                .addr(),
                _ => address(&mut random, epoch),
            };
            let decided = scan(&rules, source, now);
            let verdict = if matches!(decided, Some((Policy::Drop, ..))) {
                XDP_DROP
            } else {
                XDP_PASS
            };
            assert_eq!(
                run.run(&frame(source, &[], 0)),
                verdict,
                "{source} at {now}: {decided:?}, rules {rules:?}"
            );
            verdicts += 1;
            stale += u64::from(now != 0);
            if let Some((policy, slot, cidr)) = decided {
                *expected.entry((policy, slot)).or_default() += 1;
                *hits.entry(RuleKey::new(policy, cidr)).or_default() += 1;
                deciding += 1;
            }
        }
    }
    compare_hits(&plane, &rules, &hits);
    for ((policy, slot), packets) in expected {
        assert_eq!(
            counters.tag(policy, slot).rx_packets,
            packets,
            "{policy} {slot:?}"
        );
    }
    let actions = counters.actions();
    assert_eq!(
        actions.xdp_drop.rx_packets + actions.xdp_pass.rx_packets,
        verdicts
    );
    println!(
        "{verdicts} verdicts, {deciding} decided by a rule, {stale} without a daemon, all as the scan says"
    );
    assert!(
        deciding > verdicts / 10,
        "too few verdicts were decided by a rule"
    );
}
