//! IPv4: one bit per /16 and one per /24 decide nearly every passed source, one line of the table of hosts nearly every
//! dropped one; the others walk the prefix lengths in use in their /16.

use crate::layout::{
    CODE_DROP, CODE_IGNORE, CODE_PASS, DROP, HEAD_HOSTS, HEAD_MORE, HOST_BITS, Hosts4, IGNORE,
    LINE, LINES_TRIED, Line4, MORE_SHIFT, TAG_BITS, TAG_MASK, VALID, key4,
};
use crate::{
    hash::{Place, place4, scatter4},
    lookup::{ATTEMPTS, NONE, Tables, finish, holds, load, time_without_daemon, unroll},
};

/// Whether any rule may cover a source in this /24. The bits per /16 fit into the L1 cache; those per /24 are read only
/// if there are rules in the /16.
#[inline(always)]
pub fn flagged4<T: Tables>(t: &T, source: u32) -> bool {
    // SAFETY: valid, see `Tables`.
    let busy = unsafe { core::ptr::read_volatile(t.busy4(source >> 22)) };
    if (busy >> ((source >> 16) & 63)) & 1 == 0 {
        return false;
    }
    // SAFETY: as above.
    let near = unsafe { core::ptr::read_volatile(t.prefilter4(source >> 14)) };
    (near >> ((source >> 8) & 63)) & 1 != 0
}

/// The verdict code for a source. Call it if [`flagged4`] is true; otherwise the result is the same, but slower.
#[inline(always)]
pub fn lookup4<T: Tables>(t: &T, source: u32) -> u32 {
    let head = head4(t, source);
    t.barrier();
    let code = once4(t, source, head);
    t.barrier();
    if head4(t, source) == head {
        code
    } else {
        t.again4(source)
    }
}

/// Repeats a lookup that raced with a change.
#[inline(always)]
pub fn again4<T: Tables>(t: &T, source: u32) -> u32 {
    let mut code = CODE_PASS;
    for _ in 0..ATTEMPTS {
        let head = head4(t, source);
        t.barrier();
        code = t.walk4(source, head);
        t.barrier();
        if head4(t, source) == head {
            break;
        }
    }
    code
}

#[inline(always)]
fn head4<T: Tables>(t: &T, source: u32) -> u64 {
    // SAFETY: valid, see `Tables`.
    unsafe { core::ptr::read_volatile(t.head4(source >> 16)) }
}

/// The fast path for most flagged packets: a host, without ignore rules in its /16.
#[inline(always)]
fn once4<T: Tables>(t: &T, source: u32, head: u64) -> u32 {
    if head & (HEAD_HOSTS | HEAD_MORE) == HEAD_HOSTS {
        let tag = host4(t, source);
        if tag != NONE {
            return CODE_DROP + tag;
        }
        if head & 0xffff == 0 {
            return CODE_PASS;
        }
    }
    t.walk4(source, head)
}

/// The tag slot of a host of policy drop in the table of hosts, or all ones.
#[inline(always)]
fn host4<T: Tables>(t: &T, source: u32) -> u32 {
    let x = scatter4(&load!(t.config(), host_seed), source);
    let number = x & load!(t.config(), hosts_mask);
    let line = t.hosts4(number);
    if line.is_null() {
        return NONE;
    }
    let want = x >> HOST_BITS << HOST_BITS;
    let found = scan_hosts(line, want);
    if found & VALID == 0 {
        return NONE;
    }
    let now = time_without_daemon(t);
    if now != 0 && !host_holds(t, number, want, now) {
        return NONE;
    }
    found & TAG_MASK
}

/// The content of the slot of a host: [`VALID`] and its tag slot, or 0. Processes two slots at a time, without
/// branches: a branch would depend on a pending load, and a misprediction costs more than all eight slots.
#[inline(always)]
fn scan_hosts(line: *const Hosts4, want: u32) -> u32 {
    const ONES: u64 = 1 << 32 | 1;
    const KEY_BITS: u32 = 32 - HOST_BITS;
    const KEYS: u64 = ((1 << KEY_BITS) - 1) * ONES;
    let want = u64::from(want) * ONES;
    let mut found = 0;
    for pair in 0..LINE / 2 {
        let differs = load!(line.cast::<[u64; LINE / 2]>(), [pair]) ^ want;
        // In each half: 0 if the bits of the key are equal, else 1; then no bits or all.
        let other = (((differs >> HOST_BITS) & KEYS) + KEYS) >> KEY_BITS & ONES;
        found |= differs & !(other * 0xffff_ffff);
    }
    (found | found >> 32) as u32
}

/// Whether the deadline of a host is in the future.
#[inline(never)]
fn host_holds<T: Tables>(t: &T, number: u32, want: u32, now: u64) -> bool {
    let (line, deadlines) = (t.hosts4(number), t.host_deadlines4(number));
    if line.is_null() || deadlines.is_null() {
        return true;
    }
    for slot in 0..LINE {
        if load!(line, slots[slot]) & !TAG_MASK == want | VALID {
            return holds(load!(deadlines, at[slot]), now);
        }
    }
    false
}

/// One lookup, given the head: the verdict code.
#[inline(always)]
pub fn walk4<T: Tables>(t: &T, source: u32, head: u64) -> u32 {
    let now = time_without_daemon(t);
    let mut word = head & 0xffff;
    if head & HEAD_MORE != 0 {
        // SAFETY: valid, see `Tables`.
        word = unsafe { core::ptr::read_volatile(t.top4(source >> 16)) };
    }
    let (drops, ignores) = (word as u32 & 0xffff, (word >> 16) as u32 & 0xffff);
    let mut found = t.none();
    if head & HEAD_HOSTS != 0 {
        found = host4(t, source);
    }
    // Once a drop rule is found, only an ignore rule can change the verdict.
    let left = if found == NONE {
        drops | ignores
    } else {
        ignores
    };
    if left != 0 {
        // /32 is bit 15, longest first.
        unroll!(for HOST_BITS in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
            let bit = 0x8000 >> HOST_BITS;
            if left & bit != 0 {
                let prefix = source & (u32::MAX << HOST_BITS);
                if ignores & bit != 0 {
                    let tag = t.find4(key4(prefix, HOST_BITS, IGNORE), now);
                    if tag != NONE {
                        return CODE_IGNORE + (tag & TAG_MASK);
                    }
                }
                if found == NONE && drops & bit != 0 {
                    found = t.find4(key4(prefix, HOST_BITS, DROP), now);
                }
            }
        });
    }
    finish(t, word, source >> 16, false, now, found)
}

/// The tag slot of the rule with this key, or all ones.
#[inline(always)]
pub fn probe4<T: Tables>(t: &T, key: u64, now: u64) -> u32 {
    let place = place4(&load!(t.config(), seed), key);
    let mask = load!(t.config(), mask4);
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

/// Scans all slots of a line. Returns the tag slot or [`NONE`], and whether to continue with the next line.
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

/// Looks up entries that overflowed from their first line.
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
