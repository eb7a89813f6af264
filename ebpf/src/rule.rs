//! Finds the rule that decided a packet: a second, slower lookup that runs only if per-rule counters are enabled.
//!
//! Given the verdict code, it looks for the longest prefix of that policy with that tag slot that is in force. If rules
//! change between the two lookups, it may find none; the packet is then counted under its tag only.

use crate::{
    hash::{cell6, place4, place6, scatter4},
    layout::{
        CODE_IGNORE, DROP, Deadlines4, HEAD_HOSTS, HOST_BITS, IGNORE, LINE, LINES_TRIED, MAX_STEPS,
        MORE_SHIFT, MORE6, SHORTS, TAG_BITS, TAG_MASK, VALID, ident6, key4,
    },
    lookup::{NONE, Tables, holds, load, step, time_without_daemon, unroll},
};

/// Policy and tag slot of a verdict code below [`crate::layout::CODE_PASS`].
#[inline(always)]
fn split(code: u32) -> (u32, u32) {
    let policy = if code < CODE_IGNORE { DROP } else { IGNORE };
    (policy, code & TAG_MASK)
}

/// The number of the rule that decided an IPv4 source, or all ones.
#[inline(always)]
pub fn rule4<T: Tables>(t: &T, source: u32, code: u32) -> u32 {
    let (policy, tag) = split(code);
    let bases = load!(t.config(), rule_bases);
    // SAFETY: valid, see `Tables`.
    let (head, word) = unsafe {
        (
            t.head4(source >> 16).read_volatile(),
            t.top4(source >> 16).read_volatile(),
        )
    };
    if policy == DROP && head & HEAD_HOSTS != 0 {
        let host = host(t, source, tag);
        if host != NONE {
            return host;
        }
    }
    let lengths = (word >> (16 * policy)) as u32 & 0xffff;
    unroll!(for HOST_BITS in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
        if lengths & (0x8000 >> HOST_BITS) != 0 {
            let prefix = source & (u32::MAX << HOST_BITS);
            let slot = t.slot4(key4(prefix, HOST_BITS, policy), tag);
            if slot != NONE {
                return bases[0] + slot;
            }
        }
    });
    let node = short_node(t, source >> 16, false, policy, tag);
    if node == NONE { NONE } else { bases[2] + node }
}

#[inline(always)]
fn host<T: Tables>(t: &T, source: u32, tag: u32) -> u32 {
    let x = scatter4(&load!(t.config(), host_seed), source);
    let number = x & load!(t.config(), hosts_mask);
    let line = t.hosts4(number);
    if line.is_null() {
        return NONE;
    }
    let want = x >> HOST_BITS << HOST_BITS | VALID | tag;
    for slot in 0..LINE {
        if load!(line, slots[slot]) == want {
            return live(t, t.host_deadlines4(number), number, slot);
        }
    }
    NONE
}

/// The number of a slot in a line of a table, or all ones if its deadline has passed.
#[inline(always)]
fn live<T: Tables>(t: &T, deadlines: *const Deadlines4, number: u32, slot: usize) -> u32 {
    let now = time_without_daemon(t);
    if now != 0 && !deadlines.is_null() && !holds(load!(deadlines, at[slot]), now) {
        return NONE;
    }
    number * LINE as u32 + slot as u32
}

/// The slot in the IPv4 bucket table of the rule with this key and tag slot, or all ones.
#[inline(always)]
pub fn slot4<T: Tables>(t: &T, key: u64, tag: u32) -> u32 {
    let place = place4(&load!(t.config(), seed), key);
    let mask = load!(t.config(), mask4);
    let want = key << (TAG_BITS + 1) | u64::from(VALID | tag);
    for n in 0..LINES_TRIED {
        let number = place.line(n, mask);
        let line = t.line4(number);
        if line.is_null() {
            return NONE;
        }
        for slot in 0..LINE {
            if load!(line, slots[slot]) & ((1 << MORE_SHIFT) - 1) == want {
                return live(t, t.deadlines4(number), number, slot);
            }
        }
        if load!(line, slots[0]) >> MORE_SHIFT == 0 {
            return NONE;
        }
    }
    NONE
}

/// The number of the rule that decided an IPv6 source, or all ones.
#[inline(always)]
pub fn rule6<T: Tables>(t: &T, hi: u64, lo: u64, code: u32) -> u32 {
    let (policy, tag) = split(code);
    let bases = load!(t.config(), rule_bases);
    let cell = t.cell6(cell6(&load!(t.config(), seed), hi));
    let half = u64::from(u32::MAX) << (32 * policy);
    let steps = t.steps6(load!(t.config(), steps) & 1);
    let (mask, count) = (load!(cell, mask) & half, load!(steps, count));
    for number in 0..MAX_STEPS {
        if number as u64 >= count {
            break;
        }
        let step = step(t, steps, number);
        if mask & load!(step, bits) == 0 {
            continue;
        }
        let (hi, lo) = (hi & load!(step, hi_mask), lo & load!(step, lo_mask));
        let index = t.index6(hi, lo, load!(step, len2) | u64::from(policy), tag);
        if index != NONE {
            return bases[1] + index;
        }
    }
    // SAFETY: valid, see `Tables`.
    let word = unsafe { t.top6((hi >> 48) as u32).read_volatile() };
    let lengths = (word >> (16 * policy)) as u32 & 0x7fff;
    unroll!(for HOST_BITS in [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
        if lengths & (0x8000 >> HOST_BITS) != 0 {
            let len_policy = u64::from(((32 - HOST_BITS) * 2) | policy);
            let index = t.index6(hi & (u64::MAX << (32 + HOST_BITS)), 0, len_policy, tag);
            if index != NONE {
                return bases[1] + index;
            }
        }
    });
    let node = short_node(t, (hi >> 48) as u32, true, policy, tag);
    if node == NONE { NONE } else { bases[3] + node }
}

/// The index in the IPv6 pool of the rule with this prefix and tag slot, or all ones.
#[inline(always)]
pub fn index6<T: Tables>(t: &T, hi: u64, lo: u64, len_policy: u64, tag: u32) -> u32 {
    let place = place6(&load!(t.config(), seed), hi, lo, len_policy);
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
            let index = value & ((1 << index_bits) - 1);
            if value >> index_bits == fingerprint {
                let entry = t.entry6(index);
                let want = ident6(len_policy, 0) << TAG_BITS | tag;
                if !entry.is_null()
                    && load!(entry, meta) == want
                    && load!(entry, hi) == hi
                    && load!(entry, lo) == lo
                {
                    let now = time_without_daemon(t);
                    let over = now != 0 && !holds(load!(entry, deadline), now);
                    return if over { NONE } else { index };
                }
            }
        }
        if load!(line, lanes[0]) & MORE6 == 0 {
            return NONE;
        }
    }
    NONE
}

/// The record of the longest rule with this tag slot that covers `head` in a tree of prefixes up to /16, or all ones.
#[inline(always)]
fn short_node<T: Tables>(t: &T, head: u32, v6: bool, policy: u32, tag: u32) -> u32 {
    let now = time_without_daemon(t);
    let mut node = (1 << 16) | (head & 0xffff);
    for _ in 0..17 {
        let index = (node * 2 + policy) & (SHORTS - 1);
        let pointer = if v6 { t.short6(index) } else { t.short4(index) };
        // SAFETY: valid, see `Tables`.
        let rule = unsafe { pointer.read_volatile() };
        let tagged = rule as u32 & (VALID | TAG_MASK) == VALID | tag;
        if tagged && (now == 0 || holds((rule >> 32) as u32, now)) {
            return index;
        }
        node >>= 1;
    }
    NONE
}
