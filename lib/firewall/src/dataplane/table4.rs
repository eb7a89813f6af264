//! The writer of the IPv4 bucket table: rules of /17 to /32, eight slots of 64 bits to a cache line.
//!
//! A rule lies in the first of its 16 lines that had room; lines that it found full count it, so that a search knows
//! when to end. The table doubles in place: in a table twice as large every rule keeps its number in its own order
//! of lines, and its line is either the old one or the old one plus the old size. So all that moves is copied into
//! the upper half, which no packet looks at, one store of the mask makes it valid, and only then do the old copies go.

use couic_ebpf::{
    hash::place4,
    layout::{LINE, LINES_TRIED, MIN_LINES, MORE_SHIFT, TAG_BITS, TAG_MASK, VALID},
};

use super::{
    PlaneError, RuleUsage,
    region::{read, write},
    rule_counts::{RuleCounts, Slot, number},
    sizes::{FULL_PERCENT, last},
    store::Store,
    tops::Tops,
};

const COUNT: u64 = u64::MAX << MORE_SHIFT;
const ONE: u64 = 1 << MORE_SHIFT;

/// The place of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    line: usize,
    slot: usize,
    /// The how manyth of its lines that is.
    nth: u32,
}

/// The bookkeeping of user space for the table.
#[derive(Debug)]
pub(super) struct Table4 {
    lines: usize,
    used: usize,
    rule_counts: RuleCounts,
}

impl Table4 {
    pub(super) fn new(store: &mut Store, rule_counts: RuleCounts) -> Result<Self, PlaneError> {
        let lines = MIN_LINES as usize;
        store.line4.reach(lines)?;
        write!(store.config, 0, mask4 => MIN_LINES - 1);
        Ok(Self {
            lines,
            used: 0,
            rule_counts,
        })
    }

    fn mask(&self) -> u32 {
        last(self.lines)
    }

    /// The line that a key tries as its `nth`.
    fn line(&self, store: &Store, key: u64, nth: u32) -> usize {
        place4(&store.seed, key).line(nth, self.mask()) as usize
    }

    /// The place of the rule with this key.
    pub(super) fn find(&self, store: &Store, key: u64) -> Option<Spot> {
        let want = (key << 1) | 1;
        for nth in 0..LINES_TRIED {
            let line = self.line(store, key, nth);
            let first = read!(store.line4, line, slots[0]);
            for slot in 0..LINE {
                let value = read!(store.line4, line, slots[slot]);
                if (value & !COUNT) >> TAG_BITS == want {
                    return Some(Spot { line, slot, nth });
                }
            }
            if first & COUNT == 0 {
                return None;
            }
        }
        None
    }

    /// Adds a rule that is not there. Packets see it once its length is known to its head.
    pub(super) fn add(
        &mut self,
        store: &mut Store,
        tops: &mut Tops,
        key: u64,
        (tag, deadline): (u32, u32),
    ) -> Result<(), PlaneError> {
        let slots = self.lines * LINE;
        if (self.used + 1) * 100 > slots * FULL_PERCENT && self.can_grow(store) {
            self.grow(store, tops)?;
        }
        if deadline != 0 {
            store.deadlines4.reach(self.lines)?;
        }
        let spot = loop {
            match self.room(store, key) {
                Some(spot) => break spot,
                None if self.can_grow(store) => self.grow(store, tops)?,
                None => {
                    return Err(PlaneError::Full {
                        table: "IPv4 bucket",
                    });
                }
            }
        };
        for nth in 0..spot.nth {
            self.count(store, self.line(store, key, nth), u64::wrapping_add);
        }
        self.set_deadline(store, spot, deadline);
        self.rule_counts.begin(store, Self::record(spot));
        let first = read!(store.line4, spot.line, slots[spot.slot]) & COUNT;
        let value = first | key << (TAG_BITS + 1) | u64::from(VALID | tag);
        write!(store.line4, spot.line, slots[spot.slot] => value);
        self.used += 1;
        Ok(())
    }

    /// Gives a rule another tag slot and deadline.
    pub(super) fn renew(
        &self,
        store: &mut Store,
        spot: Spot,
        (tag, deadline): (u32, u32),
    ) -> Result<(), PlaneError> {
        if deadline != 0 {
            store.deadlines4.reach(self.lines)?;
        }
        self.set_deadline(store, spot, deadline);
        let old = read!(store.line4, spot.line, slots[spot.slot]);
        let value = old & !u64::from(TAG_MASK) | u64::from(tag);
        write!(store.line4, spot.line, slots[spot.slot] => value);
        Ok(())
    }

    /// Takes a rule out.
    pub(super) fn take(&mut self, store: &Store, key: u64, spot: Spot) {
        let count = read!(store.line4, spot.line, slots[spot.slot]) & COUNT;
        write!(store.line4, spot.line, slots[spot.slot] => count);
        for nth in 0..spot.nth {
            self.count(store, self.line(store, key, nth), u64::wrapping_sub);
        }
        self.used -= 1;
    }

    fn record(spot: Spot) -> Slot {
        Slot::Line4(number(spot.line, spot.slot))
    }

    /// Tag slot and deadline of a rule.
    pub(super) fn held(store: &Store, spot: Spot) -> (u32, u32) {
        let Spot { line, slot, .. } = spot;
        let tag = read!(store.line4, line, slots[slot]) & u64::from(TAG_MASK);
        let deadline = if store.deadlines4.in_reach() > line {
            read!(store.deadlines4, line, at[slot])
        } else {
            0
        };
        (u32::try_from(tag).unwrap_or(0), deadline)
    }

    /// How many places there are in the lines that are in use.
    pub(super) fn places(&self) -> usize {
        self.lines * LINE
    }

    /// The key of the rule at a place.
    pub(super) fn at(store: &Store, place: usize) -> Option<u64> {
        let value = read!(store.line4, place / LINE, slots[place % LINE]) & !COUNT;
        (value != 0).then_some(value >> (TAG_BITS + 1))
    }

    /// Takes out a rule that was never added, and is not counted.
    pub(super) fn erase(store: &Store, spot: Spot) {
        let count = read!(store.line4, spot.line, slots[spot.slot]) & COUNT;
        write!(store.line4, spot.line, slots[spot.slot] => count);
    }

    /// The counters of a rule.
    pub(super) fn usage(&self, store: &Store, spot: Spot) -> Option<RuleUsage> {
        self.rule_counts.read(store, Self::record(spot))
    }

    fn set_deadline(&self, store: &Store, spot: Spot, deadline: u32) {
        if store.deadlines4.in_reach() > spot.line {
            write!(store.deadlines4, spot.line, at[spot.slot] => deadline);
        }
    }

    /// A free slot for a key, in the first of its lines that has one.
    fn room(&self, store: &Store, key: u64) -> Option<Spot> {
        let first = place4(&store.seed, key).slot() as usize;
        for nth in 0..LINES_TRIED {
            let line = self.line(store, key, nth);
            for slot in (0..LINE).map(|n| n ^ first) {
                if read!(store.line4, line, slots[slot]) & !COUNT == 0 {
                    return Some(Spot { line, slot, nth });
                }
            }
        }
        None
    }

    /// Changes how many entries found a line full. A count that reached its end stays there.
    fn count(&self, store: &Store, line: usize, change: fn(u64, u64) -> u64) {
        let first = read!(store.line4, line, slots[0]);
        if first & COUNT != COUNT {
            write!(store.line4, line, slots[0] => change(first, ONE));
        }
    }

    fn can_grow(&self, store: &Store) -> bool {
        self.lines * 2 <= store.line4.capacity()
    }

    /// Doubles the table. A packet sees the old table or the new one, whole.
    fn grow(&mut self, store: &mut Store, tops: &mut Tops) -> Result<(), PlaneError> {
        let (old, new) = (self.lines, self.lines * 2);
        store.line4.reach(new)?;
        if store.deadlines4.in_reach() != 0 {
            store.deadlines4.reach(new)?;
        }
        let mut counts = vec![0u64; new];
        self.each_move(store, new, |line, slot, nth, to, key| {
            let value = read!(store.line4, line, slots[slot]);
            if to != line {
                let count = read!(store.line4, to, slots[slot]) & COUNT;
                write!(store.line4, to, slots[slot] => count | value & !COUNT);
                if store.deadlines4.in_reach() != 0 {
                    let at = read!(store.deadlines4, line, at[slot]);
                    write!(store.deadlines4, to, at[slot] => at);
                }
            }
            let place = place4(&store.seed, key);
            for passed in 0..nth {
                let mask = last(new);
                counts[place.line(passed, mask) as usize] += 1;
            }
        });
        for (line, count) in counts.iter().enumerate().skip(old) {
            self.set_count(store, line, *count);
        }
        write!(store.config, 0, mask4 => last(new));
        tops.bump_all(store);
        self.each_move(store, new, |line, slot, _, to, _| {
            if to != line {
                let (from, to) = (number(line, slot), number(to, slot));
                self.rule_counts
                    .carry(store, Slot::Line4(from), Slot::Line4(to));
                let count = read!(store.line4, line, slots[slot]) & COUNT;
                write!(store.line4, line, slots[slot] => count);
            }
        });
        for (line, count) in counts.iter().enumerate().take(old) {
            self.set_count(store, line, *count);
        }
        self.lines = new;
        Ok(())
    }

    fn set_count(&self, store: &Store, line: usize, count: u64) {
        let first = read!(store.line4, line, slots[0]) & !COUNT;
        write!(store.line4, line, slots[0] => first | count.min(COUNT >> MORE_SHIFT) << MORE_SHIFT);
    }

    /// Calls `visit` with line, slot, number in the key's order, line in a table of `new` lines, and key of each rule.
    fn each_move(
        &self,
        store: &Store,
        new: usize,
        mut visit: impl FnMut(usize, usize, u32, usize, u64),
    ) {
        let mask = last(new);
        for line in 0..self.lines {
            for slot in 0..LINE {
                let value = read!(store.line4, line, slots[slot]) & !COUNT;
                if value == 0 {
                    continue;
                }
                let key = value >> (TAG_BITS + 1);
                let place = place4(&store.seed, key);
                let nth = (0..LINES_TRIED).find(|n| place.line(*n, self.mask()) as usize == line);
                let nth = nth.unwrap_or(0);
                visit(line, slot, nth, place.line(nth, mask) as usize, key);
            }
        }
    }
}
