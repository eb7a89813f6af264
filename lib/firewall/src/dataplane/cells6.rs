//! The writer of the IPv6 cells and steps: which lengths from /32 on a source's /32 may have, and which lengths are in
//! use at all.
//!
//! A length gets one of 32 bits in a cell when its first rule comes. The 32nd is shared by all lengths that come when
//! the other 31 are taken: those cost a probe each in every cell that has one of them. A length without rules keeps its
//! bit until another one wants it, so that a lone rule coming and going does not rewrite the steps.

use couic_common::Policy;
use couic_ebpf::{
    hash::{cell6, place6},
    layout::{CELLS, FILTERED, MAX_STEPS},
};

use super::{
    region::{read, write},
    store::Store,
    table6::Key6,
    tops::number,
};

const SHARED: u8 = 31;

#[derive(Clone, Copy, Debug)]
struct InUse {
    len: u8,
    bit: u8,
}

/// The bookkeeping of user space for cells and steps.
#[derive(Debug)]
pub(super) struct Cells6 {
    /// Rules per policy, bit and cell: pages of unused ones are never touched.
    counts: Vec<u32>,
    /// Rules per cell and mark; a count that reached its end stays there until the cell is empty.
    marks: Vec<u8>,
    /// Rules per length.
    rules: [u32; 129],
    /// Longest first, as in the steps.
    steps: Vec<InUse>,
}

impl Cells6 {
    pub(super) fn new() -> Self {
        Self {
            counts: vec![0; 64 * CELLS as usize],
            marks: vec![0; 32 * CELLS as usize],
            rules: [0; 129],
            steps: Vec::new(),
        }
    }

    /// Makes sure that packets look for a length. True if the steps were exchanged for that.
    pub(super) fn prepare(&mut self, store: &Store, len: u8) -> bool {
        if self.bit(len).is_some() {
            return false;
        }
        let free = |bit: &u8| self.steps.iter().all(|step| step.bit != *bit);
        let bit = (0..SHARED).find(free).or_else(|| {
            let idle = |step: &InUse| step.bit != SHARED && self.rules[usize::from(step.len)] == 0;
            let idle = self.steps.iter().position(idle)?;
            Some(self.steps.remove(idle).bit)
        });
        let at = self.steps.partition_point(|step| step.len > len);
        self.steps.insert(
            at,
            InUse {
                len,
                bit: bit.unwrap_or(SHARED),
            },
        );
        self.publish(store);
        true
    }

    /// One more rule of a length that was prepared, in the cell of `hi`. Its entry is in place already.
    pub(super) fn add(&mut self, store: &Store, policy: Policy, key: Key6, len: u8) {
        let hi = key.hi;
        self.rules[usize::from(len)] += 1;
        let cell = cell6(&store.seed, hi) as usize;
        if u64::from(len) < FILTERED {
            let mark = mark(store, key);
            let count = &mut self.marks[cell * 32 + mark];
            *count = count.saturating_add(1);
            write!(store.cell6, cell, marks => read!(store.cell6, cell, marks) | 1 << mark);
        }
        let bit = self.mask_bit(policy, len);
        let count = &mut self.counts[bit * CELLS as usize + cell];
        *count += 1;
        if *count == 1 {
            write!(store.cell6, cell, mask => read!(store.cell6, cell, mask) | 1 << bit);
        }
        self.bump(store, hi);
    }

    /// One rule less. Its entry is gone already.
    pub(super) fn take(&mut self, store: &Store, policy: Policy, key: Key6, len: u8) {
        let hi = key.hi;
        self.rules[usize::from(len)] -= 1;
        let cell = cell6(&store.seed, hi) as usize;
        let bit = self.mask_bit(policy, len);
        let count = &mut self.counts[bit * CELLS as usize + cell];
        *count -= 1;
        if *count == 0 {
            write!(store.cell6, cell, mask => read!(store.cell6, cell, mask) & !(1 << bit));
        }
        if u64::from(len) < FILTERED {
            self.unmark(store, cell, mark(store, key));
        }
        self.bump(store, hi);
    }

    fn unmark(&mut self, store: &Store, cell: usize, mark: usize) {
        let counts = &mut self.marks[cell * 32..][..32];
        if read!(store.cell6, cell, mask) == 0 {
            counts.fill(0);
        } else if counts[mark] != u8::MAX {
            counts[mark] -= 1;
        }
        let marks = (0..32)
            .filter(|n| counts[*n] != 0)
            .fold(0, |marks, n| marks | 1 << n);
        write!(store.cell6, cell, marks => marks);
    }

    /// Ends a change that concerns packets from under this /32.
    pub(super) fn bump(&self, store: &Store, hi: u64) {
        let cell = cell6(&store.seed, hi) as usize;
        write!(store.cell6, cell, version => read!(store.cell6, cell, version).wrapping_add(1));
    }

    fn bit(&self, len: u8) -> Option<u8> {
        self.steps
            .iter()
            .find(|step| step.len == len)
            .map(|step| step.bit)
    }

    fn mask_bit(&self, policy: Policy, len: u8) -> usize {
        number(policy) as usize * 32 + usize::from(self.bit(len).unwrap_or(SHARED))
    }

    /// Writes the steps that packets do not look at, then makes them the ones that hold.
    fn publish(&self, store: &Store) {
        let which = 1 - read!(store.config, 0, steps);
        let to = which as usize;
        for (at, step) in self.steps.iter().enumerate().take(MAX_STEPS) {
            let mask = u128::MAX << (128 - u32::from(step.len)).min(127);
            let bits = 1u64 << step.bit | 1 << (32 + step.bit);
            let keep = if step.bit == SHARED { u64::MAX } else { !bits };
            #[expect(clippy::cast_possible_truncation, reason = "the two halves are wanted")]
            let (hi, lo) = ((mask >> 64) as u64, mask as u64);
            write_step(store, to, at, [hi, lo, bits, keep, u64::from(step.len) * 2]);
        }
        write!(store.steps6, to, count => self.steps.len() as u64);
        let unfiltered = self
            .steps
            .iter()
            .filter(|step| u64::from(step.len) < FILTERED)
            .fold(0, |bits, step| {
                bits | 1u64 << step.bit | 1 << (32 + step.bit)
            });
        write!(store.config, 0, unfiltered => unfiltered);
        write!(store.config, 0, steps => which);
    }
}

/// The bit of a rule of /32 to /47 in its cell.
fn mark(store: &Store, key: Key6) -> usize {
    place6(&store.seed, key.hi, key.lo, key.len_policy).cell_mark() as usize
}

fn write_step(store: &Store, to: usize, at: usize, words: [u64; 5]) {
    let record = store.steps6.at(to);
    let [hi_mask, lo_mask, bits, keep, len2] = words;
    let step = couic_ebpf::layout::Step {
        hi_mask,
        lo_mask,
        bits,
        keep,
        len2,
    };
    // SAFETY: `at` is below the number of steps in the record, which no packet looks at: one that began before the
    // steps were last exchanged looks again, as every version has changed since.
    unsafe { (&raw mut (*record).steps[at]).write_volatile(step) };
}
