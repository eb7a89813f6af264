//! The writer of the table of IPv4 hosts: policy drop, /32, eight slots of 32 bits to half a cache line.
//!
//! An address is permuted under the seed; the low bits choose the line, the others stand in the slot, so that four
//! bytes hold address and tag. A host has one line only: if that is full, the caller puts the host into the table for
//! all lengths ([`super::table4`]). The table doubles in place as that one does: in a table twice as large, a host's
//! line is the old one or the old one plus the old size.

use couic_ebpf::{
    hash::{host_seed, scatter4},
    layout::{HOST_BITS, LINE, MIN_HOSTS, TAG_MASK, VALID},
};

use super::{
    PlaneError, RuleUsage, inspect,
    region::{read, write},
    rule_counts::{RuleCounts, Slot, number},
    sizes::{FULL_PERCENT, last},
    store::Store,
    tops::Tops,
};

/// The place of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostSpot {
    line: usize,
    slot: usize,
}

/// The bookkeeping of user space for the table.
#[derive(Debug)]
pub(super) struct Hosts4 {
    seed: [u32; 3],
    lines: usize,
    used: usize,
    rule_counts: RuleCounts,
}

/// The part of a permuted address that a slot holds.
fn want(x: u32) -> u32 {
    (x >> HOST_BITS << HOST_BITS) | VALID
}

impl Hosts4 {
    pub(super) fn new(store: &mut Store, rule_counts: RuleCounts) -> Result<Self, PlaneError> {
        let lines = MIN_HOSTS as usize;
        store.hosts4.reach(lines)?;
        write!(store.config, 0, hosts_mask => last(lines));
        let seed = host_seed(&store.seed);
        for (at, part) in seed.into_iter().enumerate() {
            write!(store.config, 0, host_seed[at] => part);
        }
        Ok(Self {
            seed,
            lines,
            used: 0,
            rule_counts,
        })
    }

    /// The place of a host.
    pub(super) fn find(&self, store: &Store, address: u32) -> Option<HostSpot> {
        let x = scatter4(&self.seed, address);
        let line = (x & last(self.lines)) as usize;
        (0..LINE)
            .find(|slot| read!(store.hosts4, line, slots[*slot]) & !TAG_MASK == want(x))
            .map(|slot| HostSpot { line, slot })
    }

    /// Adds a missing host. False if its line is full. Packets see it once its head knows of hosts.
    pub(super) fn add(
        &mut self,
        store: &mut Store,
        tops: &mut Tops,
        address: u32,
        (tag, deadline): (u32, u32),
    ) -> Result<bool, PlaneError> {
        let slots = self.lines * LINE;
        if (self.used + 1) * 100 > slots * FULL_PERCENT && self.lines * 2 <= store.hosts4.capacity()
        {
            self.grow(store, tops)?;
        }
        if deadline != 0 {
            store.host_deadlines4.reach(self.lines)?;
        }
        let x = scatter4(&self.seed, address);
        let line = (x & last(self.lines)) as usize;
        let first = (x >> 29) as usize;
        let free = (0..LINE)
            .map(|n| n ^ first)
            .find(|slot| read!(store.hosts4, line, slots[*slot]) == 0);
        let Some(slot) = free else {
            return Ok(false);
        };
        Self::set_deadline(store, HostSpot { line, slot }, deadline);
        self.rule_counts
            .begin(store, Slot::Host(number(line, slot)));
        write!(store.hosts4, line, slots[slot] => want(x) | tag);
        self.used += 1;
        Ok(true)
    }

    /// Gives a host another tag slot and deadline.
    pub(super) fn renew(
        &self,
        store: &mut Store,
        spot: HostSpot,
        (tag, deadline): (u32, u32),
    ) -> Result<(), PlaneError> {
        if deadline != 0 {
            store.host_deadlines4.reach(self.lines)?;
        }
        Self::set_deadline(store, spot, deadline);
        let old = read!(store.hosts4, spot.line, slots[spot.slot]) & !TAG_MASK;
        write!(store.hosts4, spot.line, slots[spot.slot] => old | tag);
        Ok(())
    }

    /// Takes a host out.
    pub(super) fn take(&mut self, store: &Store, spot: HostSpot) {
        write!(store.hosts4, spot.line, slots[spot.slot] => 0);
        self.used -= 1;
    }

    /// Tag slot and deadline of a host.
    pub(super) fn held(store: &Store, spot: HostSpot) -> (u32, u32) {
        let HostSpot { line, slot } = spot;
        let tag = read!(store.hosts4, line, slots[slot]) & TAG_MASK;
        let deadline = if store.host_deadlines4.in_reach() > line {
            read!(store.host_deadlines4, line, at[slot])
        } else {
            0
        };
        (tag, deadline)
    }

    /// How many places there are in the lines that are in use.
    pub(super) fn places(&self) -> usize {
        self.lines * LINE
    }

    /// The host at a place.
    pub(super) fn at(&self, store: &Store, place: usize) -> Option<u32> {
        let (line, slot) = (place / LINE, place % LINE);
        let value = read!(store.hosts4, line, slots[slot]);
        (value != 0)
            .then(|| inspect::host(&self.seed, line, value))
            .flatten()
    }

    /// Takes out a host that was never added, and is not counted.
    pub(super) fn erase(store: &Store, spot: HostSpot) {
        write!(store.hosts4, spot.line, slots[spot.slot] => 0);
    }

    /// The counters of a host.
    pub(super) fn usage(&self, store: &Store, spot: HostSpot) -> Option<RuleUsage> {
        let slot = Slot::Host(number(spot.line, spot.slot));
        self.rule_counts.read(store, slot)
    }

    fn set_deadline(store: &Store, spot: HostSpot, deadline: u32) {
        if store.host_deadlines4.in_reach() > spot.line {
            write!(store.host_deadlines4, spot.line, at[spot.slot] => deadline);
        }
    }

    /// Doubles the table. A packet sees the old table or the new one, whole.
    fn grow(&mut self, store: &mut Store, tops: &mut Tops) -> Result<(), PlaneError> {
        let (old, new) = (self.lines, self.lines * 2);
        store.hosts4.reach(new)?;
        let deadlines = store.host_deadlines4.in_reach() != 0;
        if deadlines {
            store.host_deadlines4.reach(new)?;
        }
        let mut moved = Vec::new();
        for line in 0..old {
            for slot in 0..LINE {
                let value = read!(store.hosts4, line, slots[slot]);
                if value == 0 || Self::line_of(value, line, new) == line {
                    continue;
                }
                if deadlines {
                    let at = read!(store.host_deadlines4, line, at[slot]);
                    write!(store.host_deadlines4, line + old, at[slot] => at);
                }
                write!(store.hosts4, line + old, slots[slot] => value);
                moved.push((line, slot));
            }
        }
        write!(store.config, 0, hosts_mask => last(new));
        tops.bump_all(store);
        for (line, slot) in moved {
            let (from, to) = (number(line, slot), number(line + old, slot));
            self.rule_counts
                .carry(store, Slot::Host(from), Slot::Host(to));
            write!(store.hosts4, line, slots[slot] => 0);
        }
        self.lines = new;
        Ok(())
    }

    /// The line in a table of `lines` that takes a host from `line` of a smaller one.
    fn line_of(value: u32, line: usize, lines: usize) -> usize {
        let low = u32::try_from(line).unwrap_or(0) & (MIN_HOSTS - 1);
        ((value >> HOST_BITS << HOST_BITS | low) & last(lines)) as usize
    }
}
