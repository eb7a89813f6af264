//! Leaky buckets of all sources of one jail, in fixed memory.
//!
//! A set-associative table: a source belongs to one set of 8 cells, and a newcomer takes the cell of the emptiest bucket
//! of its set. A newcomer inherits nothing, so that **a count can be too low, never too high**: memory that is too small
//! delays bans and bans nobody else. Attackers are not pushed out by crowds, since their buckets are the fullest.
//!
//! A bucket is one number (GCRA): the time at which it will be empty. A hit moves it by the time that one hit takes to
//! leak. `N per T`: the N-th hit of a burst fills the bucket; who stays below a hit each T / N never fills it.

/// Cells per set: a cache line of keys, a cache line of times.
const WAYS: usize = 8;
/// Words per set.
const WORDS: usize = 2 * WAYS;
/// A cache line, in words and bytes.
const LINE: usize = 8;
const LINE_BYTES: usize = 64;

/// How much a bucket holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depth {
    /// How long one hit takes to leak, in microseconds.
    pub(crate) step: i64,
    /// The hits that fill it.
    pub(crate) hits: u32,
}

/// The buckets of one jail.
pub(crate) struct Buckets {
    /// Of each set the keys, then the times (microseconds).
    words: Vec<u64>,
    /// Where the first set starts, so that sets are aligned to cache lines.
    start: usize,
    /// For jails that count distinct values: which of 64 values each cell has seen since its bucket was empty.
    values: Option<Vec<[u64; WAYS]>>,
    set_mask: u64,
    step: i64,
    /// A bucket is full if it is empty only later than this from now.
    room: i64,
    /// Buckets that were not empty and had to make room.
    pushed_out: u64,
}

impl Buckets {
    /// At least `cells` cells of 16 bytes, or 24 if values are distinguished.
    pub(crate) fn new(cells: usize, depth: Depth, distinct: bool) -> Self {
        let sets = cells.div_ceil(WAYS).next_power_of_two();
        let words = vec![0_u64; sets * WORDS + LINE];
        let start = words.as_ptr().align_offset(LINE_BYTES).min(LINE);
        Self {
            words,
            start,
            values: distinct.then(|| vec![[0; WAYS]; sets]),
            set_mask: sets as u64 - 1,
            step: depth.step,
            room: depth.step.saturating_mul(i64::from(depth.hits) - 1),
            pushed_out: 0,
        }
    }

    fn set(&self, hash: u64) -> usize {
        (hash & self.set_mask) as usize
    }

    fn cells(&mut self, set: usize) -> Option<(&mut [u64; WAYS], &mut [u64; WAYS])> {
        let words = self.words.get_mut(self.start + set * WORDS..)?;
        let (keys, rest) = words.split_first_chunk_mut::<WAYS>()?;
        Some((keys, rest.first_chunk_mut::<WAYS>()?))
    }

    /// Counts a hit at `now` (microseconds, above 0); with `value` (a hash) only if the value is new. True if the bucket
    /// is full. It then stays as full as it is.
    #[inline]
    pub(crate) fn hit(&mut self, hash: u64, value: Option<u64>, now: i64) -> bool {
        let (set, step, room) = (self.set(hash), self.step, self.room);
        let Some((keys, empty_at)) = self.cells(set) else {
            return false;
        };
        let found = way_of(hash, keys);
        let way = found.unwrap_or_else(|| emptiest(empty_at));
        let mut at = empty_at[way].cast_signed();
        let mut pushed_out = false;
        if found.is_none() {
            pushed_out = at > now;
            keys[way] = hash;
            at = 0;
        }
        let is_empty = at <= now;
        let full_at = at.max(now) + step;
        // The cell is the newcomer's even if its value is not counted.
        empty_at[way] = at.cast_unsigned();
        self.pushed_out += u64::from(pushed_out);
        if !self.is_new(set, way, value, is_empty) {
            return false;
        }
        let full = full_at - now > room;
        let kept = if full { at.max(now) } else { full_at };
        if let Some((_, empty_at)) = self.cells(set) {
            empty_at[way] = kept.cast_unsigned();
        }
        full
    }

    fn is_new(&mut self, set: usize, way: usize, value: Option<u64>, is_empty: bool) -> bool {
        let (Some(value), Some(values)) = (value, &mut self.values) else {
            return true;
        };
        let Some(seen) = values.get_mut(set).and_then(|set| set.get_mut(way)) else {
            return false;
        };
        let bit = 1 << (value >> 58);
        let before = if is_empty { 0 } else { *seen };
        *seen = before | bit;
        before & bit == 0
    }

    /// Empties the bucket of a source.
    pub(crate) fn clear(&mut self, hash: u64) {
        let set = self.set(hash);
        if let Some((keys, empty_at)) = self.cells(set)
            && let Some(way) = way_of(hash, keys)
        {
            empty_at[way] = 0;
        }
    }

    /// Buckets that had to make room while not empty.
    pub(crate) fn pushed_out(&self) -> u64 {
        self.pushed_out
    }

    /// The part of the cells with a bucket that is not empty, 0 to 1. Reads the whole table.
    pub(crate) fn fill(&self, now: i64) -> f64 {
        let sets = self.words.get(self.start..).unwrap_or_default();
        let sets = sets.as_chunks::<WORDS>().0;
        let live = |set: &[u64; WORDS]| {
            let times = set.iter().skip(WAYS);
            times.filter(|at| at.cast_signed() > now).count()
        };
        let live: usize = sets.iter().map(live).sum();
        live as f64 / ((self.set_mask + 1) as f64 * WAYS as f64)
    }
}

/// Which of the keys it is, without a branch that depends on it: nobody could predict it.
#[inline]
pub(crate) fn way_of(key: u64, keys: &[u64; WAYS]) -> Option<usize> {
    let mut found = WAYS;
    for (way, other) in keys.iter().enumerate() {
        found = if *other == key { way } else { found };
    }
    (found < WAYS).then_some(found)
}

/// The way of the bucket that is empty first.
fn emptiest(empty_at: &[u64; WAYS]) -> usize {
    let mut best = 0;
    for way in 1..WAYS {
        if empty_at[way] < empty_at[best] {
            best = way;
        }
    }
    best
}

#[cfg(test)]
mod tests;
