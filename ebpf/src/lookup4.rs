//! IPv4: one bit settles nearly every innocent source; what is flagged walks the lengths that its /16 knows.

use crate::layout::{
    CODE_IGNORE, CODE_PASS, DROP, IGNORE, LINE, LINES_TRIED, Line4, MORE_SHIFT, TAG_BITS, TAG_MASK,
    key4,
};
use crate::{
    hash::{Place, place4},
    lookup::{ATTEMPTS, NONE, Tables, finish, holds, load, time_without_daemon},
};

/// Whether any rule may cover a source in this /24.
#[inline(always)]
pub fn flagged4<T: Tables>(t: &T, source: u32) -> bool {
    let word = t.prefilter4(source >> 14);
    if word.is_null() {
        return false;
    }
    // SAFETY: not null, so valid.
    (unsafe { core::ptr::read_volatile(word) } >> ((source >> 8) & 63)) & 1 != 0
}

/// The verdict code for a source. Call it where [`flagged4`] says so: without it the answer is the same, and later.
#[inline(always)]
pub fn lookup4<T: Tables>(t: &T, source: u32) -> u32 {
    let top = t.top4(source >> 16);
    if top.is_null() {
        return CODE_PASS;
    }
    let mut code = CODE_PASS;
    for _ in 0..ATTEMPTS {
        let version = load!(top, version);
        code = t.once4(source, load!(top, word));
        if load!(top, version) == version {
            break;
        }
    }
    code
}

/// One lookup, given what the head says: the verdict code.
#[inline(always)]
pub fn walk4<T: Tables>(t: &T, source: u32, word: u64) -> u32 {
    let now = time_without_daemon(t);
    let (drops, ignores) = (word as u32 & 0xffff, (word >> 16) as u32 & 0xffff);
    let mut left = drops | ignores;
    let mut found = NONE;
    // /32 is bit 15: shifted out at the top, longest first.
    for host_bits in 0..16 {
        if left == 0 {
            break;
        }
        let bit = 0x8000 >> host_bits;
        if left & bit == 0 {
            continue;
        }
        left &= !bit;
        let prefix = source & (u32::MAX << host_bits);
        if ignores & bit != 0 {
            let tag = t.find4(key4(prefix, host_bits, IGNORE), now);
            if tag != NONE {
                return CODE_IGNORE + (tag & TAG_MASK);
            }
        }
        if found == NONE && drops & bit != 0 {
            found = t.find4(key4(prefix, host_bits, DROP), now);
            if found != NONE {
                // From here on only an ignore rule can change the verdict.
                left &= ignores;
            }
        }
    }
    finish(t, word, source >> 16, false, now, found)
}

/// The tag slot of the rule with this key, or all ones.
#[inline(always)]
pub fn probe4<T: Tables>(t: &T, key: u64, now: u64) -> u32 {
    let config = t.config();
    if config.is_null() {
        return NONE;
    }
    let place = place4(&load!(config, seed), key);
    let mask = load!(config, mask4);
    let number = place.line(0, mask);
    let line = t.line4(number);
    if line.is_null() {
        return NONE;
    }
    let slot = place.slot() as usize & (LINE - 1);
    let value = load!(line, slots[slot]);
    if is(value, key) && now == 0 {
        return value as u32 & TAG_MASK;
    }
    let (tag, more) = scan4(t, line, number, key, now);
    if !more {
        return tag;
    }
    further4(t, place, mask, key, now)
}

#[inline(always)]
fn is(slot: u64, key: u64) -> bool {
    (slot & ((1 << MORE_SHIFT) - 1)) >> TAG_BITS == (key << 1) | 1
}

/// All slots of a line: the tag slot or [`NONE`], and whether to go on to the next line.
#[inline(always)]
fn scan4<T: Tables>(t: &T, line: *const Line4, number: u32, key: u64, now: u64) -> (u32, bool) {
    for slot in 0..LINE {
        let value = load!(line, slots[slot]);
        if is(value, key) {
            if now != 0 {
                let deadlines = t.deadlines4(number);
                if !deadlines.is_null() && !holds(load!(deadlines, at[slot]), now) {
                    return (NONE, false);
                }
            }
            return (value as u32 & TAG_MASK, false);
        }
    }
    (NONE, load!(line, slots[0]) >> MORE_SHIFT != 0)
}

/// What did not fit into its first line.
#[inline(never)]
fn further4<T: Tables>(t: &T, place: Place, mask: u32, key: u64, now: u64) -> u32 {
    for n in 1..LINES_TRIED {
        let number = place.line(n, mask);
        let line = t.line4(number);
        if line.is_null() {
            return NONE;
        }
        let (tag, more) = scan4(t, line, number, key, now);
        if !more {
            return tag;
        }
    }
    NONE
}
