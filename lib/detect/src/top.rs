//! Who talks most, in fixed memory.
//!
//! SpaceSaving (Metwally et al. 2005) within sets of 8: a newcomer takes the smallest count of its set and goes on from
//! it, so counts may be too high (by at most what [`Talker::over`] says), and a frequent source is never missing. That
//! is right to look at, and wrong to ban by: buckets do not work like this.

use std::net::IpAddr;

use crate::key::Key;

const WAYS: usize = 8;
const SETS: usize = 512;
/// Each minute counts are halved, in microseconds.
const HALF_LIFE: i64 = 60_000_000;

/// A source with many lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Talker {
    /// Its address; of IPv6 that of the prefix.
    pub addr: IpAddr,
    /// Its lines; those of a minute ago count half, those of two minutes ago a quarter.
    pub lines: u64,
    /// So many of them may be those of others.
    pub over: u64,
    /// Its part of all lines, 0 to 1.
    pub share: f64,
}

#[derive(Clone, Copy, Default)]
struct Set {
    keys: [u32; WAYS],
    lines: [u32; WAYS],
}

/// Counts of lines.
pub(crate) struct Talkers {
    sets: Vec<Set>,
    /// The sources and what they took over, in the order of cells.
    who: Vec<(Key, u32)>,
    total: u64,
    halved: i64,
}

impl Talkers {
    pub(crate) fn new() -> Self {
        Self {
            sets: vec![Set::default(); SETS],
            who: vec![(Key::default(), 0); SETS * WAYS],
            total: 0,
            halved: 0,
        }
    }

    /// A line of a source.
    #[inline]
    pub(crate) fn line(&mut self, key: Key, hash: u64, now: i64) {
        if now - self.halved >= HALF_LIFE {
            self.halve(now);
        }
        self.total += 1;
        // Other bits than those of the buckets.
        let (number, short) = ((hash >> 16) as usize % SETS, (hash >> 32) as u32 | 1);
        let Some(set) = self.sets.get_mut(number) else {
            return;
        };
        if let Some(way) = set.keys.iter().position(|k| *k == short) {
            set.lines[way] = set.lines[way].saturating_add(1);
            return;
        }
        let mut way = 0;
        for other in 1..WAYS {
            if set.lines[other] < set.lines[way] {
                way = other;
            }
        }
        let over = set.lines[way];
        set.keys[way] = short;
        set.lines[way] = over.saturating_add(1);
        if let Some(who) = self.who.get_mut(number * WAYS + way) {
            *who = (key, over);
        }
    }

    #[cold]
    fn halve(&mut self, now: i64) {
        let passed = (now - self.halved) / HALF_LIFE;
        let halves = u32::try_from(passed).unwrap_or(u32::MAX).min(31);
        self.halved = now;
        self.total >>= halves;
        for lines in self.sets.iter_mut().flat_map(|set| &mut set.lines) {
            *lines >>= halves;
        }
        self.who.iter_mut().for_each(|(_, over)| *over >>= halves);
    }

    /// The `n` sources with most lines, most first.
    pub(crate) fn top(&self, n: usize) -> Vec<Talker> {
        let lines = self.sets.iter().flat_map(|set| set.lines);
        let cells = lines.zip(&self.who).filter(|(lines, _)| *lines > 0);
        let talker = |(lines, (key, over)): (u32, &(Key, u32))| Talker {
            addr: key.addr(),
            lines: lines.into(),
            over: (*over).into(),
            share: f64::from(lines) / self.total.max(1) as f64,
        };
        let mut talkers: Vec<Talker> = cells.map(talker).collect();
        talkers.sort_by(|a, b| b.lines.cmp(&a.lines).then(a.addr.cmp(&b.addr)));
        talkers.truncate(n);
        talkers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_are_found_in_a_crowd() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut talkers = Talkers::new();
        let mut lines = [0_u64; 10];
        for _ in 0..400_000 {
            let n = if random.bool() {
                random.u32(0..10)
            } else {
                random.u32(10..1_000_000)
            };
            if let Some(count) = lines.get_mut(n as usize) {
                *count += 1;
            }
            let key = Key::of(std::net::Ipv4Addr::from_bits(n).into(), 64);
            talkers.line(key, key.hash(1), 1);
        }
        let top = talkers.top(10);
        assert_eq!(top.len(), 10);
        for talker in top {
            let IpAddr::V4(addr) = talker.addr else {
                unreachable!()
            };
            let exact = lines[addr.to_bits() as usize];
            assert!(exact <= talker.lines && talker.lines <= exact + talker.over);
            assert!((talker.share - 0.05).abs() < 0.01);
        }
    }

    #[test]
    fn the_past_fades() {
        let mut talkers = Talkers::new();
        let key = Key::of("192.0.2.7".parse().unwrap(), 64);
        (0..100).for_each(|_| talkers.line(key, 7, 1));
        talkers.line(key, 7, 1 + HALF_LIFE);
        assert_eq!(talkers.top(1)[0].lines, 51);
        talkers.line(key, 7, 1 + 50 * HALF_LIFE);
        assert_eq!(talkers.top(9).len(), 1);
        assert_eq!(talkers.top(1)[0].lines, 1);
    }
}
