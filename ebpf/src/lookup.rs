//! The lookup: from a source address to a verdict code.
//!
//! For every packet: ignore if any ignore rule covers the source, else drop if any drop rule does, counted under the
//! longest covering prefix of the deciding policy. Entries hold their own rule only and are not combined with covering
//! rules: the lookup walks the prefix lengths in use, longest first, keeps the first drop, and then looks only at
//! lengths with ignore rules, of which there are hardly ever any.

use crate::layout::{
    Beat, CODE_DROP, CODE_IGNORE, CODE_PASS, Cell, Config, DROP, Deadlines4, Entry6, Filter6,
    Head4, Hosts4, IGNORE, Line4, Line6, SEEN_JIFFIES, SHORTS, STALE_NS, STEPS, Steps, TAG_MASK,
    TOP_DROP, TOP_IGNORE, Top, VALID,
};
pub use crate::{lookup4::*, lookup6::*};

/// No rule found.
pub(crate) const NONE: u32 = u32::MAX;
/// Maximum number of lookups of one packet while the writer changes rules that concern it; the verdict of the last one
/// may be wrong. With five million updates per second of the rules of one IPv6 source, eight attempts were exhausted
/// about once in a million packets.
pub(crate) const ATTEMPTS: u32 = 32;

/// Reads a field that the writer may be changing.
macro_rules! load {
    ($pointer:expr, [$at:expr]) => {
        // SAFETY: as below.
        unsafe { core::ptr::read_volatile(core::ptr::addr_of!((*$pointer)[$at])) }
    };
    ($pointer:expr, $($field:tt)+) => {
        // SAFETY: the pointer comes from `Tables`, was checked by the caller if it can be null, and is valid for reads.
        unsafe { core::ptr::read_volatile(core::ptr::addr_of!((*$pointer).$($field)+)) }
    };
}
pub(crate) use load;

/// Repeats a block with a constant for each number. Before about Linux 6.4, the verifier tracks every scalar precisely
/// once a loop that calls a global function compares its counter, and exceeds the instruction limit.
macro_rules! unroll {
    (for $number:ident in [$($value:literal)+] $block:block) => {$({
        const $number: u32 = $value;
        $block
    })+};
}
pub(crate) use unroll;

/// Access to the tables. All reads are volatile, as the writer may store at any time.
///
/// Tables of fixed size return a pointer that is valid for reads at every index allowed below. Those sized by the
/// daemon return null if the index is out of bounds, which does not happen in lookups.
pub trait Tables: Sized {
    /// The one record.
    fn config(&self) -> *const Config;
    /// The one record.
    fn beat(&self) -> *mut Beat;
    /// 64 bits of the first stage of the IPv4 prefilter; `word` is below [`crate::layout::BUSY_WORDS`].
    fn busy4(&self, word: u32) -> *const u64;
    /// 64 bits of the IPv4 prefilter; `word` is below [`crate::layout::PREFILTER_WORDS`].
    fn prefilter4(&self, word: u32) -> *const u64;
    /// By the top 16 bits of an IPv4 address.
    fn head4(&self, head: u32) -> *const Head4;
    /// By the top 16 bits of an IPv4 address.
    fn top4(&self, head: u32) -> *const Top;
    /// By the top 16 bits of an IPv6 address.
    fn top6(&self, head: u32) -> *const Top;
    /// By the top 16 bits of an IPv6 address: changes with every change of rules up to /31.
    fn version6(&self, head: u32) -> *const u32;
    /// Node of the tree of IPv4 prefixes up to /16, times two, plus policy.
    fn short4(&self, node: u32) -> *const u64;
    /// The same for IPv6.
    fn short6(&self, node: u32) -> *const u64;
    /// By the hash of the top 32 bits.
    fn cell6(&self, cell: u32) -> *const Cell;
    /// 0 or 1.
    fn steps6(&self, which: u32) -> *const Steps;

    /// Of the table of IPv4 hosts.
    fn hosts4(&self, line: u32) -> *const Hosts4;
    /// Beside the table of IPv4 hosts.
    fn host_deadlines4(&self, line: u32) -> *const Deadlines4;
    /// Of the IPv4 bucket table.
    fn line4(&self, line: u32) -> *const Line4;
    /// Beside the IPv4 bucket table.
    fn deadlines4(&self, line: u32) -> *const Deadlines4;
    /// Of the IPv6 filter.
    fn filter6(&self, line: u32) -> *const Filter6;
    /// Of the IPv6 bucket table.
    fn line6(&self, line: u32) -> *const Line6;
    /// Of the IPv6 pool.
    fn entry6(&self, index: u32) -> *const Entry6;

    /// The kernel's tick count.
    fn jiffies(&self) -> u64;
    /// `CLOCK_MONOTONIC_COARSE`, nanoseconds.
    fn mono(&self) -> u64;

    /// Orders the loads before it before those after it. A compiler barrier suffices if the CPU does not reorder loads.
    #[inline(always)]
    fn barrier(&self) {
        core::sync::atomic::fence(core::sync::atomic::Ordering::Acquire);
    }
    /// [`NONE`] as a value unknown to the verifier: after a comparison with a known constant, verifiers before about
    /// 6.4 mark everything that led there as precise.
    #[inline(always)]
    fn none(&self) -> u32 {
        NONE
    }
    /// The number of a step, with a provable bound of [`STEPS`].
    #[inline(always)]
    fn step(&self, number: usize) -> usize {
        number & (STEPS - 1)
    }

    // The steps of a lookup, which the program wraps in global functions: the verifier checks these once, instead of
    // once per call and loop iteration.

    /// [`again4`].
    #[inline(always)]
    fn again4(&self, source: u32) -> u32 {
        again4(self, source)
    }
    /// [`walk4`].
    #[inline(always)]
    fn walk4(&self, source: u32, head: u64) -> u32 {
        walk4(self, source, head)
    }
    /// [`probe4`].
    #[inline(always)]
    fn find4(&self, key: u64, now: u64) -> u32 {
        probe4(self, key, now)
    }
    /// [`again6`].
    #[inline(always)]
    fn again6(&self, hi: u64, lo: u64) -> u32 {
        again6(self, hi, lo)
    }
    /// [`walk6`].
    #[inline(always)]
    fn walk6(&self, hi: u64, lo: u64, word: u64, mask: u64) -> u32 {
        walk6(self, hi, lo, word, mask)
    }
    /// [`longer6`].
    #[inline(always)]
    fn longer6(&self, hi: u64, lo: u64, mask: u64) -> u32 {
        longer6(self, hi, lo, mask)
    }
    /// [`probe6`].
    #[inline(always)]
    fn find6(&self, hi: u64, lo: u64, len_policy: u64) -> u32 {
        probe6(self, hi, lo, len_policy)
    }
    /// [`crate::rule::slot4`].
    #[inline(always)]
    fn slot4(&self, key: u64, tag: u32) -> u32 {
        crate::rule::slot4(self, key, tag)
    }
    /// [`crate::rule::index6`].
    #[inline(always)]
    fn index6(&self, hi: u64, lo: u64, len_policy: u64, tag: u32) -> u32 {
        crate::rule::index6(self, hi, lo, len_policy, tag)
    }
    /// [`short_rule`].
    #[inline(always)]
    fn short(&self, head: u32, v6: bool, policy: u32, now: u64) -> u32 {
        short_rule(self, head, v6, policy, now)
    }
}

/// Whether the panic switch is on and rules are disabled. Checked only if a rule may cover the source, before the
/// lookup; all other packets pass anyway.
#[inline(always)]
pub fn is_open<T: Tables>(t: &T) -> bool {
    load!(t.config(), open) != 0
}

/// 0 while a daemon runs, else the time in Unix seconds: rules with a deadline up to then have expired.
#[inline(always)]
pub(crate) fn time_without_daemon<T: Tables>(t: &T) -> u64 {
    let jiffies = t.jiffies();
    if jiffies.wrapping_sub(load!(t.beat(), seen)) < SEEN_JIFFIES {
        return 0;
    }
    ask_the_clock(t, jiffies)
}

/// Called once every [`SEEN_JIFFIES`] while a daemon runs, and for every packet that matches a rule after that.
#[inline(never)]
fn ask_the_clock<T: Tables>(t: &T, jiffies: u64) -> u64 {
    let beat = t.beat();
    let (now, last) = (t.mono(), load!(beat, mono));
    if now < last || now - last < STALE_NS {
        // SAFETY: valid, see `Tables`; racing writers store nearly equal values.
        unsafe { core::ptr::write_volatile(core::ptr::addr_of_mut!((*beat).seen), jiffies) };
        return 0;
    }
    load!(beat, unix) + (now - last) / 1_000_000_000
}

/// Whether a rule with this deadline is still in force.
#[inline(always)]
pub(crate) fn holds(deadline: u32, now: u64) -> bool {
    deadline == 0 || u64::from(deadline) > now
}

/// The verdict, given the result of longer prefixes (`found` is the tag slot of a drop rule, or [`NONE`]) and the
/// prefixes up to /16.
#[inline(always)]
pub(crate) fn finish<T: Tables>(
    t: &T,
    word: u64,
    head: u32,
    v6: bool,
    now: u64,
    found: u32,
) -> u32 {
    let mut drop = (word >> TOP_DROP) as u32 & (VALID | TAG_MASK);
    let mut ignore = (word >> TOP_IGNORE) as u32 & (VALID | TAG_MASK);
    if now != 0 {
        // `word` holds only the longest prefix up to /16; if it has expired, shorter ones must be looked up.
        drop = if drop == 0 {
            0
        } else {
            t.short(head, v6, DROP, now)
        };
        ignore = if ignore == 0 {
            0
        } else {
            t.short(head, v6, IGNORE, now)
        };
    }
    if ignore != 0 {
        CODE_IGNORE + (ignore & TAG_MASK)
    } else if found != NONE {
        CODE_DROP + found
    } else if drop != 0 {
        CODE_DROP + (drop & TAG_MASK)
    } else {
        CODE_PASS
    }
}

/// The longest prefix up to /16 that covers `head` and is in force, as [`VALID`] and tag slot, or 0.
#[inline(always)]
pub fn short_rule<T: Tables>(t: &T, head: u32, v6: bool, policy: u32, now: u64) -> u32 {
    let mut node = (1 << 16) | (head & 0xffff);
    for _ in 0..17 {
        let index = (node * 2 + (policy & 1)) & (SHORTS - 1);
        let pointer = if v6 { t.short6(index) } else { t.short4(index) };
        // SAFETY: valid, see `Tables`.
        let rule = unsafe { pointer.read_volatile() };
        if rule as u32 & VALID != 0 && holds((rule >> 32) as u32, now) {
            return rule as u32 & (VALID | TAG_MASK);
        }
        node >>= 1;
    }
    0
}
