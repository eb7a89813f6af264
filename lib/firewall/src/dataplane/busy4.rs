//! The writer of the bits before the IPv4 prefilter, one per /16: if rules are few, they settle a packet from the L1
//! cache. If rules are everywhere, they tell a packet nothing, and cost wrong branch predictions: so once two fifths of
//! all /16s have rules, every bit is set until a fifth has.

use couic_ebpf::layout::{BUSY_WORDS, TOPS};

use super::{
    region::{read, write},
    store::Store,
};

const MANY: u32 = TOPS / 5 * 2;
const FEW: u32 = TOPS / 5;

/// Which /16s have rules, and whether packets see that.
#[derive(Debug)]
pub(super) struct Busy4 {
    bits: Vec<u64>,
    count: u32,
    all: bool,
}

impl Busy4 {
    pub(super) fn new() -> Self {
        Self {
            bits: vec![0; BUSY_WORDS as usize],
            count: 0,
            all: false,
        }
    }

    /// Says whether there are rules under a /16. They are in place, or gone, already.
    pub(super) fn set(&mut self, store: &Store, head: usize, busy: bool) {
        let (word, bit) = (head / 64, 1u64 << (head % 64));
        if (self.bits[word] & bit != 0) == busy {
            return;
        }
        self.bits[word] ^= bit;
        if busy {
            self.count += 1;
        } else {
            self.count -= 1;
        }
        if !self.all && self.count > MANY {
            self.all = true;
            self.show(store);
        } else if self.all && self.count < FEW {
            self.all = false;
            self.show(store);
        } else if !self.all {
            write!(store.busy4, word => self.bits[word]);
        }
    }

    fn show(&self, store: &Store) {
        for (word, bits) in self.bits.iter().enumerate() {
            let wanted = if self.all { u64::MAX } else { *bits };
            if read!(store.busy4, word) != wanted {
                write!(store.busy4, word => wanted);
            }
        }
    }
}
