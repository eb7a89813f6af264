//! The writer of the IPv4 prefilter, one bit per /24, with the bookkeeping for clearing bits again: how many rules from
//! /25 on a /24 has (none, one, two, more), and whether a rule of /17 to /24 covers it.

use couic_ebpf::layout::{PREFILTER_WORDS, TAG_MASK, TOP_DROP, TOP_IGNORE, VALID};

use super::{
    region::{read, write},
    store::Store,
};

/// "More than two" in the count of rules from /25 on.
pub(super) const MANY: u8 = 3;

/// Bit planes beside the prefilter; pages that nothing is in are never touched.
#[derive(Debug)]
pub(super) struct Prefilter4 {
    low: Vec<u64>,
    high: Vec<u64>,
    mid: Vec<u64>,
}

fn place(address: u32) -> (usize, u64) {
    ((address >> 14) as usize, 1 << ((address >> 8) & 63))
}

impl Prefilter4 {
    pub(super) fn new() -> Self {
        let plane = || vec![0; PREFILTER_WORDS as usize];
        Self {
            low: plane(),
            high: plane(),
            mid: plane(),
        }
    }

    /// One more rule from /25 on in the /24 of `address`.
    pub(super) fn add_long(&mut self, store: &Store, address: u32) {
        let (word, bit) = place(address);
        match self.count(word, bit) {
            MANY => {}
            count => self.set_count(word, bit, count + 1),
        }
        let old = read!(store.prefilter4, word);
        if old & bit == 0 {
            write!(store.prefilter4, word => old | bit);
        }
    }

    /// One rule less. If there were more than two, `recount` returns how many are left, up to [`MANY`].
    pub(super) fn take_long(&mut self, store: &Store, address: u32, recount: impl FnOnce() -> u8) {
        let (word, bit) = place(address);
        let left = match self.count(word, bit) {
            MANY => recount(),
            count => count.saturating_sub(1),
        };
        self.set_count(word, bit, left);
        if left == 0 {
            self.refresh(store, word, bit);
        }
    }

    /// A rule of /17 to /24 covers these /24s now.
    pub(super) fn add_mid(&mut self, store: &Store, address: u32, len: u8) {
        for (word, bits) in words(address, len) {
            self.mid[word] |= bits;
            let old = read!(store.prefilter4, word);
            write!(store.prefilter4, word => old | bits);
        }
    }

    /// Such a rule is gone; `covered` tells which of the /24s in a word other rules of /17 to /24 cover.
    pub(super) fn take_mid(
        &mut self,
        store: &Store,
        address: u32,
        len: u8,
        mut covered: impl FnMut(u32, u64) -> u64,
    ) {
        for (word, bits) in words(address, len) {
            let first = u32::try_from(word << 14).unwrap_or(0);
            self.mid[word] = self.mid[word] & !bits | covered(first, bits) & bits;
            self.refresh(store, word, bits);
        }
    }

    /// The rule of /16 or shorter over this /16 changed.
    pub(super) fn refresh_head(&self, store: &Store, head: usize) {
        for word in head * 4..head * 4 + 4 {
            self.refresh(store, word, u64::MAX);
        }
    }

    /// Computes bits of the prefilter anew.
    fn refresh(&self, store: &Store, word: usize, bits: u64) {
        let rules = read!(store.top4, word / 4) >> TOP_DROP;
        let either = u64::from(VALID | TAG_MASK) * (1 | 1 << (TOP_IGNORE - TOP_DROP));
        let wanted = if rules & either == 0 {
            self.low[word] | self.high[word] | self.mid[word]
        } else {
            u64::MAX
        };
        let old = read!(store.prefilter4, word);
        let new = old & !bits | wanted & bits;
        if new != old {
            write!(store.prefilter4, word => new);
        }
    }

    fn count(&self, word: usize, bit: u64) -> u8 {
        u8::from(self.low[word] & bit != 0) + 2 * u8::from(self.high[word] & bit != 0)
    }

    fn set_count(&mut self, word: usize, bit: u64, count: u8) {
        for (plane, of) in [(&mut self.low, 1), (&mut self.high, 2)] {
            if count & of == 0 {
                plane[word] &= !bit;
            } else {
                plane[word] |= bit;
            }
        }
    }
}

/// The words and bits of the /24s in a prefix of /17 to /24.
fn words(address: u32, len: u8) -> impl Iterator<Item = (usize, u64)> {
    let (first, _) = place(address);
    let count = 1u64 << (24 - len);
    let bits = if count >= 64 {
        u64::MAX
    } else {
        ((1 << count) - 1) << ((address >> 8) & 63)
    };
    let last = first + usize::try_from(count.div_ceil(64)).unwrap_or(1);
    (first..last).map(move |word| (word, bits))
}
