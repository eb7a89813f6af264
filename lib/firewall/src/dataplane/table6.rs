//! The writer of the IPv6 pool and bucket table: rules of /17 and longer.
//!
//! The rules themselves stand in a pool, filled from the front; a line of the bucket table holds eight fingerprints
//! with an index into the pool each, so that a length that has no rule for a source costs one half of a cache line.
//! The table doubles in place as the IPv4 one does.

mod grow;

use couic_ebpf::{
    hash::{Place, place6},
    layout::{LINE, LINES_TRIED, MIN_LINES, MORE6, TAG_BITS, TAG_MASK, VALID, ident6},
};

use super::{
    PlaneError, RuleUsage,
    region::{read, write},
    rule_counts::{RuleCounts, Slot},
    sizes::{FULL_PERCENT, last},
    store::Store,
    tops::Tops,
};

/// So many entries of the pool are brought into reach at a time: 1.5 MiB.
const POOL_CHUNK: usize = 65_536;

/// Identifies an IPv6 rule: its prefix in two halves, and twice its length plus its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key6 {
    pub(super) hi: u64,
    pub(super) lo: u64,
    pub(super) len_policy: u64,
}

/// The place of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot6 {
    line: usize,
    lane: usize,
    nth: u32,
    index: u32,
}

/// The bookkeeping of user space for the table.
#[derive(Debug)]
pub(super) struct Table6 {
    lines: usize,
    used: usize,
    /// Entries that found a line full, per line in use.
    passed: Vec<u32>,
    /// The first free entry that was used before; 0 = none.
    free: u32,
    /// Entries from here on were never used.
    fresh: u32,
    rule_counts: RuleCounts,
}

impl Table6 {
    pub(super) fn new(store: &mut Store, rule_counts: RuleCounts) -> Result<Self, PlaneError> {
        let lines = MIN_LINES as usize;
        store.line6.reach(lines)?;
        write!(store.config, 0, mask6 => MIN_LINES - 1);
        write!(store.config, 0, index_bits => store.index_bits);
        Ok(Self {
            lines,
            used: 0,
            passed: vec![0; lines],
            free: 0,
            fresh: 1,
            rule_counts,
        })
    }

    fn place(store: &Store, key: Key6) -> Place {
        place6(&store.seed, key.hi, key.lo, key.len_policy)
    }

    fn line(&self, place: Place, nth: u32) -> usize {
        place.line(nth, last(self.lines)) as usize
    }

    /// The place of the rule with this key.
    pub(super) fn find(&self, store: &Store, key: Key6) -> Option<Spot6> {
        let place = Self::place(store, key);
        let fingerprint = place.fingerprint(store.index_bits);
        for nth in 0..LINES_TRIED {
            let line = self.line(place, nth);
            for lane in 0..LINE {
                let value = read!(store.line6, line, lanes[lane]) & !MORE6;
                let index = value & last(1 << store.index_bits);
                if value >> store.index_bits == fingerprint && Self::is(store, index, key) {
                    return Some(Spot6 {
                        line,
                        lane,
                        nth,
                        index,
                    });
                }
            }
            if self.passed[line] == 0 {
                return None;
            }
        }
        None
    }

    fn is(store: &Store, index: u32, key: Key6) -> bool {
        let entry = index as usize;
        read!(store.entry6, entry, meta) >> TAG_BITS == ident6(key.len_policy, 0)
            && read!(store.entry6, entry, hi) == key.hi
            && read!(store.entry6, entry, lo) == key.lo
    }

    /// Adds a rule that is not there. Packets see it once its length is known to its head or cell.
    pub(super) fn add(
        &mut self,
        store: &mut Store,
        tops: &mut Tops,
        key: Key6,
        (tag, deadline): (u32, u32),
    ) -> Result<(), PlaneError> {
        let slots = self.lines * LINE;
        if (self.used + 1) * 100 > slots * FULL_PERCENT && self.can_grow(store) {
            self.grow(store, tops)?;
        }
        let (line, lane, nth) = loop {
            match self.room(store, key) {
                Some(room) => break room,
                None if self.can_grow(store) => self.grow(store, tops)?,
                None => {
                    return Err(PlaneError::Full {
                        table: "IPv6 bucket",
                    });
                }
            }
        };
        let index = self.allocate(store)?;
        let entry = index as usize;
        self.rule_counts.begin(store, Slot::Pool6(entry));
        write!(store.entry6, entry, hi => key.hi);
        write!(store.entry6, entry, lo => key.lo);
        write!(store.entry6, entry, deadline => deadline);
        let meta = ident6(key.len_policy, 0) << TAG_BITS | tag | VALID;
        write!(store.entry6, entry, meta => meta);
        let place = Self::place(store, key);
        for passed in 0..nth {
            self.pass(store, self.line(place, passed));
        }
        let lane_value = place.fingerprint(store.index_bits) << store.index_bits | index;
        let more = read!(store.line6, line, lanes[lane]) & MORE6;
        write!(store.line6, line, lanes[lane] => more | lane_value);
        self.used += 1;
        Ok(())
    }

    /// Gives a rule another tag slot and deadline.
    pub(super) fn renew(store: &Store, spot: Spot6, (tag, deadline): (u32, u32)) {
        let entry = spot.index as usize;
        write!(store.entry6, entry, deadline => deadline);
        let meta = read!(store.entry6, entry, meta) & !TAG_MASK;
        write!(store.entry6, entry, meta => meta | tag);
    }

    /// Takes a rule out.
    pub(super) fn take(&mut self, store: &Store, key: Key6, spot: Spot6) {
        let more = read!(store.line6, spot.line, lanes[spot.lane]) & MORE6;
        write!(store.line6, spot.line, lanes[spot.lane] => more);
        let entry = spot.index as usize;
        write!(store.entry6, entry, meta => 0);
        write!(store.entry6, entry, deadline => self.free);
        self.free = spot.index;
        let place = Self::place(store, key);
        for nth in 0..spot.nth {
            let line = self.line(place, nth);
            self.passed[line] -= 1;
            self.show_passed(store, line);
        }
        self.used -= 1;
    }

    /// Calls back with every rule.
    pub(super) fn each(&self, store: &Store, back: &mut dyn FnMut(Key6)) {
        for entry in 1..self.fresh as usize {
            if read!(store.entry6, entry, meta) & VALID != 0 {
                back(Self::key_of(store, entry));
            }
        }
    }

    /// Tag slot and deadline of a rule.
    pub(super) fn held(store: &Store, spot: Spot6) -> (u32, u32) {
        let entry = spot.index as usize;
        (
            read!(store.entry6, entry, meta) & TAG_MASK,
            read!(store.entry6, entry, deadline),
        )
    }

    /// How many entries of the pool were ever in use.
    pub(super) fn places(&self) -> usize {
        self.fresh as usize
    }

    /// The key of the rule at a place.
    pub(super) fn at(store: &Store, entry: usize) -> Option<Key6> {
        let valid = read!(store.entry6, entry, meta) & VALID != 0;
        valid.then(|| Self::key_of(store, entry))
    }

    /// Takes out a rule that was never added, and is not counted. Its entry in the pool may be in use for another one,
    /// so it stays out of use.
    pub(super) fn erase(store: &Store, spot: Spot6) {
        let more = read!(store.line6, spot.line, lanes[spot.lane]) & MORE6;
        write!(store.line6, spot.line, lanes[spot.lane] => more);
    }

    /// The rule of an entry of the pool.
    fn key_of(store: &Store, entry: usize) -> Key6 {
        Key6 {
            hi: read!(store.entry6, entry, hi),
            lo: read!(store.entry6, entry, lo),
            len_policy: u64::from(read!(store.entry6, entry, meta) >> (TAG_BITS + 1)),
        }
    }

    /// The counters of a rule.
    pub(super) fn usage(&self, store: &Store, spot: Spot6) -> Option<RuleUsage> {
        self.rule_counts
            .read(store, Slot::Pool6(spot.index as usize))
    }

    /// A free entry of the pool.
    fn allocate(&mut self, store: &mut Store) -> Result<u32, PlaneError> {
        if self.free != 0 {
            let index = self.free;
            self.free = read!(store.entry6, index as usize, deadline);
            return Ok(index);
        }
        let index = self.fresh as usize;
        if index >= store.entry6.capacity() {
            return Err(PlaneError::Full { table: "IPv6 rule" });
        }
        store
            .entry6
            .reach((index + 1).next_multiple_of(POOL_CHUNK))?;
        self.fresh += 1;
        Ok(self.fresh - 1)
    }

    /// The first line of a key with a free lane.
    fn room(&self, store: &Store, key: Key6) -> Option<(usize, usize, u32)> {
        let place = Self::place(store, key);
        for nth in 0..LINES_TRIED {
            let line = self.line(place, nth);
            let free = (0..LINE).find(|lane| read!(store.line6, line, lanes[*lane]) & !MORE6 == 0);
            if let Some(lane) = free {
                return Some((line, lane, nth));
            }
        }
        None
    }

    fn pass(&mut self, store: &Store, line: usize) {
        self.passed[line] += 1;
        self.show_passed(store, line);
    }

    /// Tells packets whether entries lie further on.
    fn show_passed(&self, store: &Store, line: usize) {
        let first = read!(store.line6, line, lanes[0]) & !MORE6;
        let more = if self.passed[line] == 0 { 0 } else { MORE6 };
        write!(store.line6, line, lanes[0] => first | more);
    }
}
