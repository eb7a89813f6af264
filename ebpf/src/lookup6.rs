//! IPv6: the top 16 bits tell whether there may be any rule; a cell of the top 32 bits tells which prefix lengths of
//! /32 and longer may be in use; for /48 and longer, one line of a Bloom filter tells whether there is a rule under
//! these 48 bits, and for each length whether the bucket table needs to be probed.

use crate::layout::{
    CODE_IGNORE, CODE_PASS, Cell, DROP, FILTER_WORDS, FILTERED, Filter6, IGNORE, LINE, LINES_TRIED,
    MAX_STEPS, MORE6, Step, Steps, TAG_BITS, TAG_MASK, ident6,
};
use crate::{
    hash::{cell6, near6, place6},
    lookup::{ATTEMPTS, NONE, Tables, finish, holds, load, time_without_daemon, unroll},
};

/// The bits of rules of /32 and longer in the word of a head, for both policies.
const LONG: u64 = 0x8000_8000;

/// The input of the lookup of a source. `versions` changes with every change of a rule that may concern it.
#[derive(Clone, Copy)]
struct Near {
    word: u64,
    mask: u64,
    versions: u64,
}

/// Whether any rule may cover a source under these 16 bits.
#[inline(always)]
pub fn flagged6<T: Tables>(t: &T, hi: u64) -> bool {
    word(t, hi) != 0
}

#[inline(always)]
fn word<T: Tables>(t: &T, hi: u64) -> u64 {
    // SAFETY: valid, see `Tables`.
    unsafe { core::ptr::read_volatile(t.top6((hi >> 48) as u32)) }
}

/// Reads the versions first, so that everything read later is at least as new.
#[inline(always)]
fn near<T: Tables>(t: &T, hi: u64, cell: *const Cell) -> Near {
    let versions = versions(t, hi, cell);
    t.barrier();
    Near {
        versions,
        word: word(t, hi),
        mask: load!(cell, mask),
    }
}

#[inline(always)]
fn versions<T: Tables>(t: &T, hi: u64, cell: *const Cell) -> u64 {
    // SAFETY: valid, see `Tables`.
    let head = unsafe { core::ptr::read_volatile(t.version6((hi >> 48) as u32)) };
    u64::from(load!(cell, version)) << 32 | u64::from(head)
}

/// The verdict code for a source, given as two halves. Call it if [`flagged6`] is true.
#[inline(always)]
pub fn lookup6<T: Tables>(t: &T, hi: u64, lo: u64) -> u32 {
    let seed = load!(t.config(), seed);
    let cell = t.cell6(cell6(&seed, hi));
    let near = near(t, hi, cell);
    let code = if near.word & !LONG == 0 && innocent6(t, hi, near.mask, &seed) {
        CODE_PASS
    } else {
        t.walk6(hi, lo, near.word, near.mask)
    };
    t.barrier();
    if versions(t, hi, cell) == near.versions {
        code
    } else {
        t.again6(hi, lo)
    }
}

/// Repeats a lookup that raced with a change.
#[inline(always)]
pub fn again6<T: Tables>(t: &T, hi: u64, lo: u64) -> u32 {
    let cell = t.cell6(cell6(&load!(t.config(), seed), hi));
    let mut code = CODE_PASS;
    for _ in 0..ATTEMPTS {
        let near = near(t, hi, cell);
        code = t.walk6(hi, lo, near.word, near.mask);
        t.barrier();
        if versions(t, hi, cell) == near.versions {
            break;
        }
    }
    code
}

/// Whether, by the cell and one line of the filter, no rule of /32 or longer covers the source.
#[inline(always)]
fn innocent6<T: Tables>(t: &T, hi: u64, mask: u64, seed: &[u64; 3]) -> bool {
    if mask == 0 {
        return true;
    }
    if mask & load!(t.config(), unfiltered) != 0 {
        return false;
    }
    nothing_near6(t, hi, seed)
}

/// Whether there is no rule of /48 or longer under the top 48 bits.
#[inline(always)]
fn nothing_near6<T: Tables>(t: &T, hi: u64, seed: &[u64; 3]) -> bool {
    let (line, marks) = near6(seed, hi);
    let filter = t.filter6(line & load!(t.config(), filter_mask));
    !filter.is_null() && !marked(filter, marks)
}

/// Whether both bits are set in a line of the filter.
#[inline(always)]
fn marked(filter: *const Filter6, marks: [u32; 2]) -> bool {
    let word = |mark: u32| {
        let at = (mark >> 6) as usize & (FILTER_WORDS - 1);
        load!(filter, words[at]) >> (mark & 63)
    };
    word(marks[0]) & word(marks[1]) & 1 != 0
}

/// One lookup, given the head and the cell: the verdict code.
#[inline(always)]
pub fn walk6<T: Tables>(t: &T, hi: u64, lo: u64, word: u64, mask: u64) -> u32 {
    let now = time_without_daemon(t);
    let (drops, ignores) = (word as u32 & 0xffff, (word >> 16) as u32 & 0xffff);
    let mut found = t.none();
    if mask != 0 && (drops | ignores) & 0x8000 != 0 {
        let code = t.longer6(hi, lo, mask);
        if code >= CODE_IGNORE && code != NONE {
            return code;
        }
        found = code;
    }
    let left = if found == NONE {
        drops | ignores
    } else {
        ignores
    } & 0x7fff;
    if left != 0 {
        unroll!(for HOST_BITS in [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
            let bit = 0x8000 >> HOST_BITS;
            if left & bit != 0 {
                let prefix = hi & (u64::MAX << (32 + HOST_BITS));
                let len2 = u64::from(32 - HOST_BITS) * 2;
                if ignores & bit != 0 {
                    let tag = t.find6(prefix, 0, len2 | IGNORE as u64);
                    if tag != NONE {
                        return CODE_IGNORE + (tag & TAG_MASK);
                    }
                }
                if found == NONE && drops & bit != 0 {
                    found = t.find6(prefix, 0, len2 | DROP as u64);
                }
            }
        });
    }
    finish(t, word, (hi >> 48) as u32, true, now, found)
}

/// A step by its number.
#[inline(always)]
pub(crate) fn step<T: Tables>(t: &T, steps: *const Steps, number: usize) -> *const Step {
    // SAFETY: valid, see `Tables`; the number is below that of the steps.
    unsafe {
        (&raw const (*steps).steps)
            .cast::<Step>()
            .add(t.step(number))
    }
}

/// Looks up prefixes of /32 and longer. Returns the verdict code of an ignore rule, or the tag slot of a drop rule, or
/// all ones.
#[inline(always)]
pub fn longer6<T: Tables>(t: &T, hi: u64, lo: u64, mask: u64) -> u32 {
    let steps = t.steps6(load!(t.config(), steps) & 1);
    let count = load!(steps, count);
    let mut left = mask;
    if nothing_near6(t, hi, &load!(t.config(), seed)) {
        left &= load!(t.config(), unfiltered);
    }
    let mut found = t.none();
    for number in 0..MAX_STEPS {
        if left == 0 || number as u64 >= count {
            break;
        }
        let step = step(t, steps, number);
        let here = left & load!(step, bits);
        if here == 0 {
            continue;
        }
        left &= load!(step, keep);
        let prefix = (hi & load!(step, hi_mask), lo & load!(step, lo_mask));
        let len2 = load!(step, len2);
        if here >> 32 != 0 {
            let tag = t.find6(prefix.0, prefix.1, len2 | IGNORE as u64);
            if tag != NONE {
                return CODE_IGNORE + (tag & TAG_MASK);
            }
        }
        if here as u32 != 0 && found == NONE {
            found = t.find6(prefix.0, prefix.1, len2 | DROP as u64);
            if found != NONE {
                left &= u64::MAX << 32;
            }
        }
    }
    found
}

/// The tag slot of the rule with this prefix, or all ones. For /32 and longer, the cell or the filter rules out nearly
/// all missing prefixes.
#[inline(always)]
pub fn probe6<T: Tables>(t: &T, hi: u64, lo: u64, len_policy: u64) -> u32 {
    let seed = load!(t.config(), seed);
    let place = place6(&seed, hi, lo, len_policy);
    if len_policy >= FILTERED * 2 {
        let (line, _) = near6(&seed, hi);
        let filter = t.filter6(line & load!(t.config(), filter_mask));
        if filter.is_null() || !marked(filter, place.marks()) {
            return NONE;
        }
    } else if len_policy >= 32 * 2 {
        let marks = load!(t.cell6(cell6(&seed, hi)), marks);
        if marks >> place.cell_mark() & 1 == 0 {
            return NONE;
        }
    }
    let mask = load!(t.config(), mask6);
    let index_bits = load!(t.config(), index_bits) & 31;
    let fingerprint = place.fingerprint(index_bits);
    for n in 0..LINES_TRIED {
        let line = t.line6(place.line(n, mask));
        if line.is_null() {
            return NONE;
        }
        for lane in 0..LINE {
            let value = load!(line, lanes[lane]) & !MORE6;
            if value >> index_bits == fingerprint {
                let index = value & ((1 << index_bits) - 1);
                let tag = entry6(t, index, hi, lo, len_policy);
                if tag != NONE {
                    return if in_time(t, index) { tag } else { NONE };
                }
            }
        }
        if load!(line, lanes[0]) & MORE6 == 0 {
            return NONE;
        }
    }
    NONE
}

/// The tag slot, if this entry of the pool matches.
#[inline(always)]
fn entry6<T: Tables>(t: &T, index: u32, hi: u64, lo: u64, len_policy: u64) -> u32 {
    let entry = t.entry6(index);
    if entry.is_null() {
        return NONE;
    }
    let meta = load!(entry, meta);
    let same = meta >> TAG_BITS == ident6(len_policy, 0)
        && load!(entry, hi) == hi
        && load!(entry, lo) == lo
        && load!(entry, meta) >> TAG_BITS == meta >> TAG_BITS;
    if same { meta & TAG_MASK } else { NONE }
}

#[inline(always)]
fn in_time<T: Tables>(t: &T, index: u32) -> bool {
    let now = time_without_daemon(t);
    if now == 0 {
        return true;
    }
    let entry = t.entry6(index);
    entry.is_null() || holds(load!(entry, deadline), now)
}
