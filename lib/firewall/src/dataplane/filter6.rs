//! The writer of the IPv6 filter: a Bloom filter of 64-byte lines, one line for the rules of /48 and longer under the
//! same 48 bits, so that a source near which there is nothing costs one cache line.
//!
//! A bit too many costs time only, so a change needs no care for packets but one: bits are set before the rule can be
//! found and cleared after it is gone. User space counts in four bits how many rules want a bit; a count that reached
//! 15 stays until the filter is made anew, which happens when it grows or when its last rule goes.

use couic_ebpf::{
    hash::{near6, place6},
    layout::{FILTER_WORDS, FILTERED, MIN_FILTERS},
};

use super::{
    PlaneError,
    region::{read, write},
    sizes::{RULES_PER_FILTER, last},
    store::Store,
    table6::Key6,
};

/// Bits of a line.
const BITS: usize = FILTER_WORDS * 64;
/// The highest count; it never goes down.
const STUCK: u8 = 15;

/// The bookkeeping of user space for the filter.
#[derive(Debug)]
pub(super) struct Filter6 {
    lines: usize,
    rules: usize,
    /// Two counts a byte.
    counts: Vec<u8>,
}

/// Whether rules of this length are in the filter.
fn has(key: Key6) -> bool {
    key.len_policy >= FILTERED * 2
}

impl Filter6 {
    pub(super) fn new(store: &mut Store) -> Result<Self, PlaneError> {
        let lines = MIN_FILTERS as usize;
        store.filter6.reach(lines)?;
        write!(store.config, 0, filter_mask => last(lines));
        Ok(Self {
            lines,
            rules: 0,
            counts: vec![0; lines * BITS / 2],
        })
    }

    /// Makes room for one more rule. `each` calls back with every rule that there is.
    pub(super) fn prepare(
        &mut self,
        store: &mut Store,
        each: impl FnOnce(&Store, &mut dyn FnMut(Key6)),
    ) -> Result<(), PlaneError> {
        if self.rules < self.lines * RULES_PER_FILTER || self.lines * 2 > store.filter6.capacity() {
            return Ok(());
        }
        let (old, new) = (self.lines, self.lines * 2);
        store.filter6.reach(new)?;
        // A copy above says too much, which is allowed, so that packets may use the whole at once.
        for line in 0..old {
            for word in 0..FILTER_WORDS {
                let bits = read!(store.filter6, line, words[word]);
                write!(store.filter6, line + old, words[word] => bits);
            }
        }
        write!(store.config, 0, filter_mask => last(new));
        self.lines = new;
        self.counts = vec![0; new * BITS / 2];
        let mut exact = vec![[0u64; FILTER_WORDS]; new];
        each(store, &mut |key| {
            if has(key) {
                for (line, bit) in self.bits(store, key) {
                    self.raise(line, bit);
                    exact[line][bit / 64] |= 1 << (bit % 64);
                }
            }
        });
        for (line, words) in exact.iter().enumerate() {
            for (word, bits) in words.iter().enumerate() {
                write!(store.filter6, line, words[word] => *bits);
            }
        }
        Ok(())
    }

    /// One more rule. It cannot be found yet.
    pub(super) fn add(&mut self, store: &Store, key: Key6) {
        if !has(key) {
            return;
        }
        self.rules += 1;
        for (line, bit) in self.bits(store, key) {
            if self.raise(line, bit) == 1 {
                let old = read!(store.filter6, line, words[bit / 64]);
                write!(store.filter6, line, words[bit / 64] => old | 1 << (bit % 64));
            }
        }
    }

    /// One rule less. It cannot be found any more.
    pub(super) fn take(&mut self, store: &Store, key: Key6) {
        if !has(key) {
            return;
        }
        self.rules -= 1;
        if self.rules == 0 {
            self.clear(store);
            return;
        }
        for (line, bit) in self.bits(store, key) {
            if self.lower(line, bit) == 0 {
                let old = read!(store.filter6, line, words[bit / 64]);
                write!(store.filter6, line, words[bit / 64] => old & !(1 << (bit % 64)));
            }
        }
    }

    fn clear(&mut self, store: &Store) {
        self.counts.fill(0);
        for line in 0..self.lines {
            for word in 0..FILTER_WORDS {
                if read!(store.filter6, line, words[word]) != 0 {
                    write!(store.filter6, line, words[word] => 0);
                }
            }
        }
    }

    /// Line and bit of each mark of a rule.
    fn bits(&self, store: &Store, key: Key6) -> [(usize, usize); 4] {
        let (line, near) = near6(&store.seed, key.hi);
        let line = (line & last(self.lines)) as usize;
        let own = place6(&store.seed, key.hi, key.lo, key.len_policy).marks();
        [near[0], near[1], own[0], own[1]].map(|bit| (line, bit as usize))
    }

    /// Counts one up: the new count.
    fn raise(&mut self, line: usize, bit: usize) -> u8 {
        let (byte, shift) = ((line * BITS + bit) / 2, bit % 2 * 4);
        let count = self.counts[byte] >> shift & STUCK;
        if count < STUCK {
            self.counts[byte] += 1 << shift;
        }
        count + 1
    }

    /// Counts one down: the new count.
    fn lower(&mut self, line: usize, bit: usize) -> u8 {
        let (byte, shift) = ((line * BITS + bit) / 2, bit % 2 * 4);
        let count = self.counts[byte] >> shift & STUCK;
        if count == STUCK || count == 0 {
            return STUCK;
        }
        self.counts[byte] -= 1 << shift;
        count - 1
    }
}
