//! IPv6: the top 16 bits say whether anything is near; a cell over the top 32 bits says which lengths from /32 on
//! may exist; for each of them one line of fingerprints tells nearly always whether there is a rule.

use crate::layout::{
    CODE_IGNORE, CODE_PASS, DROP, IGNORE, LINE, LINES_TRIED, MAX_STEPS, MORE6, TAG_BITS, TAG_MASK,
    ident6,
};
use crate::{
    hash::{Place, cell6, place6},
    lookup::{ATTEMPTS, NONE, Tables, finish, holds, load, time_without_daemon},
};

/// Whether any rule may cover a source under these 16 bits.
#[inline(always)]
pub fn flagged6<T: Tables>(t: &T, hi: u64) -> bool {
    let top = t.top6((hi >> 48) as u32);
    !top.is_null() && load!(top, word) != 0
}

/// The verdict code for a source, given as two halves. Call it where [`flagged6`] says so.
#[inline(always)]
pub fn lookup6<T: Tables>(t: &T, hi: u64, lo: u64) -> u32 {
    let config = t.config();
    let top = t.top6((hi >> 48) as u32);
    if top.is_null() || config.is_null() {
        return CODE_PASS;
    }
    let cell = t.cell6(cell6(&load!(config, seed), hi));
    if cell.is_null() {
        return CODE_PASS;
    }
    let mut code = CODE_PASS;
    for _ in 0..ATTEMPTS {
        let (top_version, cell_version) = (load!(top, version), load!(cell, version));
        code = t.once6(hi, lo, load!(top, word), load!(cell, mask));
        if load!(top, version) == top_version && load!(cell, version) == cell_version {
            break;
        }
    }
    code
}

/// One lookup, given what the head and the cell say: the verdict code.
#[inline(always)]
pub fn walk6<T: Tables>(t: &T, hi: u64, lo: u64, word: u64, cell: u64) -> u32 {
    let now = time_without_daemon(t);
    let (drops, ignores) = (word as u32 & 0xffff, (word >> 16) as u32 & 0xffff);
    let mut found = NONE;
    if cell != 0 && (drops | ignores) & 0x8000 != 0 {
        let code = t.long6(hi, lo, cell, now);
        if code >= CODE_IGNORE && code != NONE {
            return code;
        }
        found = code;
    }
    let mut left = if found == NONE {
        drops | ignores
    } else {
        ignores
    } & 0x7fff;
    for host_bits in 1..16 {
        if left == 0 {
            break;
        }
        let bit = 0x8000 >> host_bits;
        if left & bit == 0 {
            continue;
        }
        left &= !bit;
        let prefix = hi & (u64::MAX << (32 + host_bits));
        let len2 = (32 - host_bits as u64) * 2;
        if ignores & bit != 0 {
            let tag = t.find6(prefix, 0, len2 | IGNORE as u64, now);
            if tag != NONE {
                return CODE_IGNORE + (tag & TAG_MASK);
            }
        }
        if found == NONE && drops & bit != 0 {
            found = t.find6(prefix, 0, len2 | DROP as u64, now);
            if found != NONE {
                left &= ignores;
            }
        }
    }
    finish(t, word, (hi >> 48) as u32, true, now, found)
}

/// Prefixes of /32 and longer: an ignore rule's verdict code, or a drop rule's, or all ones.
#[inline(always)]
pub fn longer6<T: Tables>(t: &T, hi: u64, lo: u64, cell: u64, now: u64) -> u32 {
    let config = t.config();
    if config.is_null() {
        return NONE;
    }
    let steps = t.steps6(load!(config, steps) & 1);
    if steps.is_null() {
        return NONE;
    }
    let count = load!(steps, count);
    let mut left = cell;
    let mut found = NONE;
    for i in 0..MAX_STEPS {
        if left == 0 || i as u64 >= count {
            break;
        }
        let here = left & load!(steps, steps[i].bits);
        if here == 0 {
            continue;
        }
        left &= load!(steps, steps[i].keep);
        let prefix = (
            hi & load!(steps, steps[i].hi_mask),
            lo & load!(steps, steps[i].lo_mask),
        );
        let len2 = load!(steps, steps[i].len2);
        if here >> 32 != 0 {
            let tag = t.find6(prefix.0, prefix.1, len2 | IGNORE as u64, now);
            if tag != NONE {
                return CODE_IGNORE + (tag & TAG_MASK);
            }
        }
        if here as u32 != 0 && found == NONE {
            found = t.find6(prefix.0, prefix.1, len2 | DROP as u64, now);
            if found != NONE {
                left &= u64::MAX << 32;
            }
        }
    }
    found
}

/// The tag slot of the rule with this prefix, or all ones.
#[inline(always)]
pub fn probe6<T: Tables>(t: &T, hi: u64, lo: u64, len_policy: u64, now: u64) -> u32 {
    let config = t.config();
    if config.is_null() {
        return NONE;
    }
    let place = place6(&load!(config, seed), hi, lo, len_policy);
    let (mask, index_bits) = (load!(config, mask6), load!(config, index_bits) & 31);
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
                    return if now != 0 && !in_time(t, index, now) {
                        NONE
                    } else {
                        tag
                    };
                }
            }
        }
        if load!(line, lanes[0]) & MORE6 == 0 {
            return NONE;
        }
    }
    NONE
}

/// The tag slot, should this entry of the pool be the one looked for.
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
fn in_time<T: Tables>(t: &T, index: u32, now: u64) -> bool {
    let entry = t.entry6(index);
    entry.is_null() || holds(load!(entry, deadline), now)
}

/// A [`Place`] is a number: what the BPF calling convention passes in a register.
const _: () = assert!(size_of::<Place>() == 8);
