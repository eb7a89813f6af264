//! What each source of a log did, looked up for every line: by hash, 16 bytes a source.
//!
//! Sets of 8 cells; it grows up to a bound, and then the source of the set that was seen longest ago makes room. Lines
//! are gathered, so that the memory of several sources is fetched at once.

use std::hint::black_box;

use crate::bucket::way_of;

const WAYS: usize = 8;
const FIRST_SETS: usize = 512;
/// Lines that are gathered.
const GATHERED: usize = 32;
/// Of a source that is kept; others are seen before.
const KEPT: u32 = u32::MAX;
/// In the count of good requests: the source has logged in.
const LOGGED_IN: u32 = 1 << 31;
const SECOND: i64 = 1_000_000;

/// A cache line of hashes, 0 if free, and one of what is known.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Set {
    hashes: [u64; WAYS],
    /// The second of the last line.
    seen: [u32; WAYS],
    good: [u32; WAYS],
}

#[derive(Clone, Copy, Default)]
struct Line {
    hash: u64,
    seen: u32,
    good: bool,
    login: bool,
}

/// What a source did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Its good requests.
    pub(super) good: u32,
    pub(super) logged_in: bool,
}

/// The sources of a log, by the hash of their key, which is never 0.
pub(super) struct Sources {
    sets: Vec<Set>,
    used: usize,
    max_sets: usize,
    lost: u64,
    lines: [Line; GATHERED],
    gathered: usize,
}

impl Sources {
    /// At most `max` sources (rounded up).
    pub(super) fn new(max: usize) -> Self {
        Self {
            sets: vec![Set::default(); FIRST_SETS],
            used: 0,
            max_sets: max.div_ceil(WAYS).next_power_of_two().max(FIRST_SETS),
            lost: 0,
            lines: [Line::default(); GATHERED],
            gathered: 0,
        }
    }

    /// A line of a source at a time in microseconds.
    #[inline]
    pub(super) fn line(&mut self, hash: u64, good: bool, login: bool, now: i64) {
        if let Some(line) = self.lines.get_mut(self.gathered) {
            let seen = u32::try_from(now / SECOND).unwrap_or(KEPT).min(KEPT - 1);
            *line = Line {
                hash,
                seen,
                good,
                login,
            };
            self.gathered += 1;
        }
        if self.gathered == GATHERED {
            self.settle();
        }
    }

    /// Takes the gathered lines in.
    pub(super) fn settle(&mut self) {
        let (lines, gathered) = (self.lines, std::mem::take(&mut self.gathered));
        let lines = lines.get(..gathered).unwrap_or_default();
        self.fetch(lines);
        for line in lines {
            self.count(line);
        }
    }

    /// Reads a word of each cache line that they need, and does nothing else: so that none waits for the memory of the one
    /// before.
    fn fetch(&self, lines: &[Line]) {
        let sets = lines
            .iter()
            .filter_map(|line| self.sets.get(self.set_of(line.hash)));
        black_box(sets.fold(0, |words, set| {
            words ^ set.hashes[0] ^ u64::from(set.seen[0])
        }));
    }

    /// Keeps a source, also if it is seen longest ago.
    pub(super) fn keep(&mut self, hash: u64) {
        self.settle();
        let line = Line {
            hash,
            seen: KEPT,
            ..Line::default()
        };
        self.count(&line);
    }

    /// What is known of a source, without lines that are gathered.
    pub(super) fn get(&self, hash: u64) -> Option<Record> {
        let set = self.sets.get(self.set_of(hash))?;
        let good = set.good.get(self.way(hash)?)?;
        Some(Record {
            good: good & !LOGGED_IN,
            logged_in: good & LOGGED_IN != 0,
        })
    }

    /// Sources that had to make room.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    fn set_of(&self, hash: u64) -> usize {
        // Other bits than those of the buckets. The number of sets is a power of two.
        (hash >> 20) as usize & (self.sets.len() - 1)
    }

    /// Where a source is in its set.
    #[inline]
    fn way(&self, hash: u64) -> Option<usize> {
        way_of(hash, &self.sets.get(self.set_of(hash))?.hashes)
    }

    #[inline]
    fn count(&mut self, line: &Line) {
        let known = self.way(line.hash);
        let way = known.unwrap_or_else(|| self.newcomer(line));
        let number = self.set_of(line.hash);
        if let Some(set) = self.sets.get_mut(number) {
            set.add(way, line);
        }
    }

    /// Where it is from now on.
    #[cold]
    fn newcomer(&mut self, line: &Line) -> usize {
        while self.is_crowded(line.hash) && self.sets.len() < self.max_sets {
            self.grow();
        }
        let (way, pushed_out) = self.put(line.hash, line.seen, 0);
        self.lost += u64::from(pushed_out);
        way
    }

    /// Whether a newcomer would push somebody out, or soon will.
    fn is_crowded(&self, hash: u64) -> bool {
        let set = self.sets.get(self.set_of(hash));
        let is_full = set.is_some_and(|set| set.hashes.iter().all(|hash| *hash != 0));
        is_full || self.used * 4 > self.sets.len() * WAYS * 3
    }

    /// Where it is now, and whether another source had to make room.
    fn put(&mut self, hash: u64, seen: u32, good: u32) -> (usize, bool) {
        let number = self.set_of(hash);
        let Some(set) = self.sets.get_mut(number) else {
            return (0, false);
        };
        let free = set.hashes.iter().position(|hash| *hash == 0);
        let first = || (0..WAYS).min_by_key(|way| set.seen[*way]);
        let way = free.or_else(first).unwrap_or(0);
        let pushed_out = free.is_none();
        (set.hashes[way], set.seen[way], set.good[way]) = (hash, seen, good);
        self.used += usize::from(!pushed_out);
        (way, pushed_out)
    }

    fn grow(&mut self) {
        let size = self.sets.len() * 2;
        let old = std::mem::replace(&mut self.sets, vec![Set::default(); size]);
        self.used = 0;
        for set in old {
            let cells = set.hashes.iter().zip(set.seen.iter().zip(&set.good));
            for (hash, (seen, good)) in cells.filter(|(hash, _)| **hash != 0) {
                self.put(*hash, *seen, *good);
            }
        }
    }
}

impl Set {
    #[inline]
    fn add(&mut self, way: usize, line: &Line) {
        if let (Some(seen), Some(good)) = (self.seen.get_mut(way), self.good.get_mut(way)) {
            *seen = line.seen.max(*seen);
            // Lines beyond 2^31 are not counted.
            let count = (*good & !LOGGED_IN) + u32::from(line.good);
            let login = *good & LOGGED_IN | u32::from(line.login) << 31;
            *good = count.min(LOGGED_IN - 1) | login;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::key::Key;

    fn hash(n: u32) -> u64 {
        Key::of(std::net::Ipv4Addr::from_bits(n).into(), 64).hash(3)
    }

    #[test]
    fn memory_is_bounded_and_forgets_who_was_seen_longest_ago_but_not_who_is_kept() {
        let mut sources = Sources::new(4_096);
        for n in 0..50 {
            sources.line(hash(n), true, false, SECOND);
            sources.keep(hash(n));
        }
        for n in 50..50_000_u32 {
            sources.line(hash(n), true, n % 2 == 0, i64::from(n) * SECOND);
        }
        sources.settle();
        assert_eq!(sources.sets.len() * WAYS, 4_096);
        assert_eq!((sources.used, sources.lost()), (4_096, 50_000 - 4_096));
        let kept = |n: &u32| sources.get(hash(*n)).is_some();
        assert!((0..50).all(|n| kept(&n)));
        assert!((46_000..50_000).filter(kept).count() > 3_500);
        assert_eq!((50..40_000).filter(kept).count(), 0);
    }

    proptest! {
        #[test]
        fn with_room_for_all_it_is_a_map(
            lines in prop::collection::vec((0..3_000_u32, any::<bool>(), any::<bool>(), 0..40_u8), 0..6_000),
        ) {
            let mut sources = Sources::new(65_536);
            let mut map: HashMap<u32, (u32, bool)> = HashMap::new();
            for (n, good, login, keep) in lines {
                sources.line(hash(n), good, login, SECOND);
                let record = map.entry(n).or_default();
                *record = (record.0 + u32::from(good), record.1 || login);
                if keep == 0 {
                    sources.keep(hash(n));
                }
            }
            sources.settle();
            prop_assert_eq!((sources.lost(), sources.used), (0, map.len()));
            for (n, (good, logged_in)) in map {
                prop_assert_eq!(sources.get(hash(n)), Some(Record { good, logged_in }));
            }
        }
    }
}
