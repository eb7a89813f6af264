//! Buckets against exact counts in a map.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;

fn depth(hits: u32, per_seconds: i64) -> Depth {
    let step = per_seconds * SECOND / i64::from(hits);
    Depth { step, hits }
}

/// A leaky bucket as textbooks have it: a level that falls with time.
#[derive(Clone, Default)]
struct Exact {
    level: f64,
    at: i64,
    values: HashSet<u64>,
}

impl Exact {
    fn hit(&mut self, value: u64, now: i64, depth: Depth) {
        let leaked = (now - self.at) as f64 / depth.step as f64;
        self.level = (self.level - leaked).max(0.0);
        self.at = now;
        if self.level == 0.0 {
            self.values.clear();
        }
        self.level += 1.0;
        self.values.insert(value);
    }

    fn full(&self, depth: Depth) -> bool {
        self.level > f64::from(depth.hits - 1) - 1e-6
    }
}

#[test]
fn the_last_hit_of_a_burst_fills_the_bucket_and_a_slow_source_never_does() {
    let depth = depth(5, 300);
    let mut buckets = Buckets::new(64, depth, false);
    let start = 1_700_000_000 * SECOND;
    let burst: Vec<bool> = (0..6)
        .map(|n| buckets.hit(7, None, start + n * SECOND))
        .collect();
    assert_eq!(burst, [false, false, false, false, true, true]);
    buckets.clear(7);
    assert!(!buckets.hit(7, None, start + 6 * SECOND));
    assert!((0..1_000).all(|n| !buckets.hit(8, None, start + n * 60 * SECOND)));
    let mut once = Buckets::new(64, self::depth(1, 60), false);
    assert!(once.hit(9, None, start));
}

#[test]
fn the_same_value_counts_once_until_the_bucket_is_empty() {
    let mut buckets = Buckets::new(64, depth(3, 30), true);
    let value = |n: u64| Some(n << 58);
    let now = 1_700_000_000 * SECOND;
    assert!(!buckets.hit(7, value(1), now));
    assert!((0..50).all(|_| !buckets.hit(7, value(1), now)));
    assert!(!buckets.hit(7, value(2), now));
    assert!(buckets.hit(7, value(3), now));
    let later = now + 31 * SECOND;
    assert!(!buckets.hit(7, value(1), later) && !buckets.hit(7, value(2), later));
    assert!(buckets.hit(7, value(3), later));
}

#[test]
fn a_newcomer_takes_the_emptiest_bucket_of_a_full_set() {
    let mut buckets = Buckets::new(8, depth(100, 100), false);
    let now = 1_700_000_000 * SECOND;
    for source in 1..=8 {
        assert!((0..=source).all(|_| !buckets.hit(source, None, now)));
    }
    assert!((buckets.fill(now) - 1.0).abs() < 1e-9);
    buckets.hit(9, None, now);
    assert_eq!(buckets.pushed_out(), 1);
    let full =
        |buckets: &mut Buckets, source| (0..100).position(|_| buckets.hit(source, None, now));
    assert_eq!(full(&mut buckets, 8), Some(100 - 1 - 9));
    assert!(buckets.fill(now + 1_000 * SECOND) < 1e-9);
}

proptest! {
    /// Few cells, many sources: pushed out all the time, yet nobody is full whom the exact count does not find full.
    #[test]
    fn never_full_unless_the_exact_count_is(
        hits in prop::collection::vec((1..60_u64, 0..4_u64, 0..3_000_i64), 1..600),
        cells in prop::sample::select(vec![8_usize, 16, 64]),
        size in 1..8_u32,
        seconds in 1..20_i64,
        distinct: bool,
    ) {
        let depth = depth(size, seconds);
        let mut buckets = Buckets::new(cells, depth, distinct);
        let mut exact: HashMap<u64, Exact> = HashMap::new();
        let mut now = 1_700_000_000 * SECOND;
        for (source, value, millis) in hits {
            now += millis * 1_000;
            let hash = source.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let of_source = exact.entry(source).or_default();
            of_source.hit(value, now, depth);
            if buckets.hit(hash, distinct.then_some(value << 58), now) {
                prop_assert!(of_source.full(depth), "level {}", of_source.level);
                prop_assert!(!distinct || of_source.values.len() >= size as usize);
                buckets.clear(hash);
            }
        }
    }

    /// With room for all, the same as the exact count.
    #[test]
    fn with_room_for_all_every_full_bucket_is_told(
        hits in prop::collection::vec((1..9_u64, 0..3_000_i64), 1..600),
        size in 1..8_u32,
    ) {
        let depth = depth(size, 10);
        let mut buckets = Buckets::new(8, depth, false);
        let mut exact: HashMap<u64, Exact> = HashMap::new();
        let mut now = 1_700_000_000 * SECOND;
        for (source, millis) in hits.into_iter().filter(|(source, _)| *source < 8) {
            now += millis * 1_000;
            let of_source = exact.entry(source).or_default();
            of_source.hit(0, now, depth);
            let surely = of_source.level > f64::from(size - 1) + 1e-3;
            let full = buckets.hit(source, None, now);
            prop_assert!(full || !surely, "level {}", of_source.level);
            if full {
                buckets.clear(source);
                exact.remove(&source);
            }
        }
    }
}

/// 1,000 attackers at 5 hits/s over 200,000 sources of 1 to 2 hits each; the bench does it with 4 million.
#[test]
fn attackers_are_found_in_a_crowd_and_nobody_else() {
    let depth = depth(20, 20);
    let mut buckets = Buckets::new(16_384, depth, false);
    let mut random = fastrand::Rng::with_seed(7);
    let (mut found, mut others) = (HashSet::new(), 0);
    let start = 1_700_000_000 * SECOND;
    for tick in 0..60 {
        let now = start + tick * SECOND;
        let mut lines: Vec<u64> = (0..5).flat_map(|_| 1..=1_000).collect();
        lines.extend((0..6_000).map(|_| random.u64(10_000..210_000)));
        random.shuffle(&mut lines);
        for source in lines {
            let hash = twox_hash::XxHash3_64::oneshot_with_seed(7, &source.to_le_bytes());
            if buckets.hit(hash, None, now) {
                others += u32::from(source > 1_000);
                found.insert(source);
            }
        }
    }
    assert_eq!((found.len(), others), (1_000, 0));
}
