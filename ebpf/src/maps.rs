//! The tables as maps of the program. The sizes here are minimum sizes: the daemon sets the real ones when it loads the
//! program.

use core::arch::asm;

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    helpers::{bpf_get_smp_processor_id, bpf_jiffies64, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns},
    macros::map,
    maps::Array,
};
use couic_ebpf::{Tables, layout::*, lookup, rule};

/// Tables sized by the daemon on load. A lookup costs some ten instructions.
macro_rules! sized {
    ($($name:ident: $record:ty = $entries:expr;)+) => {
        $(#[map]
        static $name: Array<$record> = Array::with_max_entries($entries, BPF_F_MMAPABLE);)+
    };
}

sized! {
    HOSTS4: Hosts4 = MIN_HOSTS;
    HOST_ENDS4: Deadlines4 = MIN_HOSTS;
    LINE4S: Line4 = MIN_LINES;
    DEADLINES4: Deadlines4 = MIN_LINES;
    FILTER6: Filter6 = MIN_FILTERS;
    LINE6S: Line6 = MIN_LINES;
    ENTRY6: Entry6 = 1;
    COUNTS: Count = CODES;
    RULE_COUNTS: RuleCount = 1;
}

/// Set by the daemon before verification to enable per-rule counters: if it is 0, the verifier removes the dependent
/// code.
#[unsafe(no_mangle)]
static COUNT_RULES: u32 = 0;

/// Set by the daemon: whether the kernel has `bpf_ktime_get_coarse_ns` (Linux 5.11). The exact clock, used otherwise,
/// costs some 50 ns once every [`SEEN_JIFFIES`].
#[unsafe(no_mangle)]
static COARSE_CLOCK: u32 = 1;

/// Whether this object is for CPUs that reorder loads (aarch64). A separate object, since kernels before 5.12 reject
/// fetching atomics anywhere in a program, and aarch64 supports them since 5.18.
const ORDERED: bool = matches!(env!("CARGO_BIN_NAME").as_bytes(), b"couic-xdp-ordered");

/// Whether a word set by the daemon before verification is not 0.
macro_rules! is_set {
    ($word:ident) => {
        // SAFETY: a static of this program.
        unsafe { (&raw const $word).read_volatile() != 0 }
    };
}

/// Tables of fixed size, as sections: the program has their address, so access to a record takes one addition. Every
/// access is volatile, since the compiler does not see the writer.
macro_rules! fixed {
    ($($name:ident $section:literal: $record:ty = $entries:expr;)+) => {
        $(#[unsafe(link_section = $section)]
        static mut $name: [$record; $entries as usize] =
            // SAFETY: records of integers.
            unsafe { core::mem::zeroed() };)+
    };
}

fixed! {
    CONFIG ".bss.config": Config = 1;
    BEAT ".bss.beat": Beat = 1;
    BUSY4 ".bss.busy4": u64 = BUSY_WORDS;
    PREFILTER4 ".bss.prefilter4": u64 = PREFILTER_WORDS;
    HEAD4 ".bss.head4": Head4 = TOPS;
    TOP4 ".bss.top4": Top = TOPS;
    TOP6 ".bss.top6": Top = TOPS;
    VERSION6 ".bss.version6": u32 = TOPS;
    SHORT4 ".bss.short4": u64 = SHORTS;
    SHORT6 ".bss.short6": u64 = SHORTS;
    CELL6 ".bss.cell6": Cell = CELLS;
    STEPS6 ".bss.steps6": Steps = 2;
}

/// The maps of this program.
pub(crate) struct Kernel;

/// An array map returns a null pointer if the index is out of bounds, and the verifier requires the check.
macro_rules! at {
    ($map:ident, $index:expr) => {
        $map.get_ptr($index).unwrap_or(core::ptr::null())
    };
}

/// The verifier requires the index to be masked right before use. All sizes are powers of two.
macro_rules! within {
    ($table:ident, $size:expr, $index:expr) => {
        // SAFETY: below the number of records.
        unsafe {
            (&raw mut $table)
                .cast_const()
                .cast_record()
                .add(($index & ($size - 1)) as usize)
        }
    };
}

/// The same for an index whose bound is known to the compiler, which would drop the mask, but not to verifiers up to
/// Linux 6.12.
macro_rules! surely_within {
    ($table:ident, $size:expr, $index:expr) => {
        // SAFETY: below the number of records.
        unsafe {
            (&raw mut $table)
                .cast_const()
                .cast_record()
                .add(masked::<{ $size as i32 - 1 }>($index as usize))
        }
    };
}

/// A mask that the compiler does not drop.
#[inline(always)]
fn masked<const MASK: i32>(mut index: usize) -> usize {
    // SAFETY: modifies only its operand register.
    unsafe { asm!("{0} &= {1}", inout(reg) index, const MASK, options(pure, nomem, nostack)) };
    index
}

/// From an array to its first record.
trait CastRecord {
    type Record;
    fn cast_record(self) -> *const Self::Record;
}

impl<T, const N: usize> CastRecord for *const [T; N] {
    type Record = T;
    #[inline(always)]
    fn cast_record(self) -> *const T {
        self.cast()
    }
}

impl Tables for Kernel {
    #[inline(always)]
    fn config(&self) -> *const Config {
        within!(CONFIG, 1, 0u32)
    }
    #[inline(always)]
    fn beat(&self) -> *mut Beat {
        within!(BEAT, 1, 0u32).cast_mut()
    }
    #[inline(always)]
    fn busy4(&self, word: u32) -> *const u64 {
        within!(BUSY4, BUSY_WORDS, word)
    }
    #[inline(always)]
    fn prefilter4(&self, word: u32) -> *const u64 {
        within!(PREFILTER4, PREFILTER_WORDS, word)
    }
    #[inline(always)]
    fn head4(&self, head: u32) -> *const Head4 {
        within!(HEAD4, TOPS, head)
    }
    #[inline(always)]
    fn top4(&self, head: u32) -> *const Top {
        within!(TOP4, TOPS, head)
    }
    #[inline(always)]
    fn top6(&self, head: u32) -> *const Top {
        within!(TOP6, TOPS, head)
    }
    #[inline(always)]
    fn version6(&self, head: u32) -> *const u32 {
        within!(VERSION6, TOPS, head)
    }
    #[inline(always)]
    fn short4(&self, node: u32) -> *const u64 {
        surely_within!(SHORT4, SHORTS, node)
    }
    #[inline(always)]
    fn short6(&self, node: u32) -> *const u64 {
        surely_within!(SHORT6, SHORTS, node)
    }
    #[inline(always)]
    fn cell6(&self, cell: u32) -> *const Cell {
        within!(CELL6, CELLS, cell)
    }
    #[inline(always)]
    fn steps6(&self, which: u32) -> *const Steps {
        within!(STEPS6, 2, which)
    }
    #[inline(always)]
    fn hosts4(&self, line: u32) -> *const Hosts4 {
        at!(HOSTS4, line)
    }
    #[inline(always)]
    fn host_deadlines4(&self, line: u32) -> *const Deadlines4 {
        at!(HOST_ENDS4, line)
    }
    #[inline(always)]
    fn line4(&self, line: u32) -> *const Line4 {
        at!(LINE4S, line)
    }
    #[inline(always)]
    fn deadlines4(&self, line: u32) -> *const Deadlines4 {
        at!(DEADLINES4, line)
    }
    #[inline(always)]
    fn filter6(&self, line: u32) -> *const Filter6 {
        at!(FILTER6, line)
    }
    #[inline(always)]
    fn line6(&self, line: u32) -> *const Line6 {
        at!(LINE6S, line)
    }
    #[inline(always)]
    fn entry6(&self, index: u32) -> *const Entry6 {
        at!(ENTRY6, index)
    }
    #[inline(always)]
    fn jiffies(&self) -> u64 {
        // SAFETY: no arguments, reads a counter (Linux 5.5).
        unsafe { bpf_jiffies64() }
    }
    #[inline(always)]
    fn mono(&self) -> u64 {
        if is_set!(COARSE_CLOCK) {
            // SAFETY: no arguments, reads a clock.
            unsafe { bpf_ktime_get_coarse_ns() }
        } else {
            // SAFETY: as above.
            unsafe { bpf_ktime_get_ns() }
        }
    }
    /// An atomic addition on the stack, since BPF has no barrier that all kernels support: acquire and release in one,
    /// which no load crosses in either direction. The compiler does not reorder volatile reads.
    #[inline(always)]
    fn barrier(&self) {
        if ORDERED {
            let mut word = 0u64;
            // SAFETY: modifies a local variable.
            unsafe {
                asm!("{1} = atomic_fetch_add((u64 *)({0} + 0), {1})", in(reg) &raw mut word, inout(reg) 0u64 => _, options(nostack));
            }
        }
    }
    #[inline(always)]
    fn none(&self) -> u32 {
        !(unsafe { (&raw const (*self.config()).zero).read_volatile() } as u32)
    }
    #[inline(always)]
    fn step(&self, number: usize) -> usize {
        masked::<{ STEPS as i32 - 1 }>(number)
    }
    #[inline(always)]
    fn again4(&self, source: u32) -> u32 {
        couic_again4(source)
    }
    #[inline(always)]
    fn walk4(&self, source: u32, head: u64) -> u32 {
        couic_walk4(source, head)
    }
    #[inline(always)]
    fn find4(&self, key: u64, now: u64) -> u32 {
        couic_probe4(key, now)
    }
    #[inline(always)]
    fn again6(&self, hi: u64, lo: u64) -> u32 {
        couic_again6(hi, lo)
    }
    #[inline(always)]
    fn walk6(&self, hi: u64, lo: u64, word: u64, mask: u64) -> u32 {
        couic_walk6(hi, lo, word, mask)
    }
    #[inline(always)]
    fn longer6(&self, hi: u64, lo: u64, mask: u64) -> u32 {
        couic_longer6(hi, lo, mask)
    }
    #[inline(always)]
    fn find6(&self, hi: u64, lo: u64, len_policy: u64) -> u32 {
        couic_probe6(hi, lo, len_policy)
    }
    #[inline(always)]
    fn slot4(&self, key: u64, tag: u32) -> u32 {
        couic_slot4(key, tag)
    }
    #[inline(always)]
    fn index6(&self, hi: u64, lo: u64, len_policy: u64, tag: u32) -> u32 {
        couic_index6(hi, lo, len_policy, tag)
    }
    #[inline(always)]
    fn short(&self, head: u32, v6: bool, policy: u32, now: u64) -> u32 {
        couic_short(head, u32::from(v6), policy, now)
    }
}

// Functions that the linker keeps global: the verifier checks each once, regardless of its callers.

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_again4(source: u32) -> u32 {
    lookup::again4(&Kernel, source)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_again6(hi: u64, lo: u64) -> u32 {
    lookup::again6(&Kernel, hi, lo)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_walk4(source: u32, head: u64) -> u32 {
    lookup::walk4(&Kernel, source, head)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_walk6(hi: u64, lo: u64, word: u64, mask: u64) -> u32 {
    lookup::walk6(&Kernel, hi, lo, word, mask)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_longer6(hi: u64, lo: u64, mask: u64) -> u32 {
    lookup::longer6(&Kernel, hi, lo, mask)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_short(head: u32, v6: u32, policy: u32, now: u64) -> u32 {
    lookup::short_rule(&Kernel, head, v6 != 0, policy, now)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_probe4(key: u64, now: u64) -> u32 {
    lookup::probe4(&Kernel, key, now)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_probe6(hi: u64, lo: u64, len_policy: u64) -> u32 {
    lookup::probe6(&Kernel, hi, lo, len_policy)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_slot4(key: u64, tag: u32) -> u32 {
    rule::slot4(&Kernel, key, tag)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_index6(hi: u64, lo: u64, len_policy: u64, tag: u32) -> u32 {
    rule::index6(&Kernel, hi, lo, len_policy, tag)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_count4(source: u32, code: u32) -> u32 {
    count_rule(rule::rule4(&Kernel, source, code))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_count6(hi: u64, lo: u64, code: u32) -> u32 {
    count_rule(rule::rule6(&Kernel, hi, lo, code))
}

/// Counts a hit of the rule with this number. CPUs share the record.
#[inline(always)]
fn count_rule(number: u32) -> u32 {
    if let Some(count) = RULE_COUNTS.get_ptr_mut(number) {
        let beat = Kernel.beat();
        // SAFETY: a record of the map, a record of the fixed table; helper without arguments (Linux 5.11).
        unsafe {
            // Equivalent to core::sync::atomic, which has no fetch_add on targets without compare-and-swap.
            asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) &raw mut (*count).hits, in(reg) 1u64);
            let since = Kernel
                .mono()
                .saturating_sub((&raw const (*beat).mono).read_volatile());
            let now = (&raw const (*beat).unix).read_volatile() + since / 1_000_000_000;
            (&raw mut (*count).seen).write_volatile(now);
        }
    }
    number
}

#[inline(always)]
fn counts_rules(code: u32) -> bool {
    code < CODE_PASS && is_set!(COUNT_RULES)
}

/// Counts the rule behind a verdict for an IPv4 source, if per-rule counters are enabled.
#[inline(always)]
fn hit4(source: u32, code: u32) -> u32 {
    if counts_rules(code) {
        couic_count4(source, code);
    }
    code
}

/// The same for IPv6.
#[inline(always)]
fn hit6(hi: u64, lo: u64, code: u32) -> u32 {
    if counts_rules(code) {
        couic_count6(hi, lo, code);
    }
    code
}

/// Whether the panic switch is on.
#[inline(always)]
pub(crate) fn is_open() -> bool {
    lookup::is_open(&Kernel)
}

/// The verdict code for an IPv4 source.
#[inline(always)]
pub(crate) fn judge4(source: u32) -> u32 {
    if lookup::flagged4(&Kernel, source) && !is_open() {
        hit4(source, lookup::lookup4(&Kernel, source))
    } else {
        CODE_PASS
    }
}

/// The verdict code for an IPv6 source.
#[inline(always)]
pub(crate) fn judge6(hi: u64, lo: u64) -> u32 {
    if lookup::flagged6(&Kernel, hi) && !is_open() {
        hit6(hi, lo, lookup::lookup6(&Kernel, hi, lo))
    } else {
        CODE_PASS
    }
}

/// Counts a frame under a code, in the page of this CPU, which no other CPU writes to.
#[inline(always)]
pub(crate) fn count(code: u32, bytes: u64) {
    // SAFETY: no arguments, reads a number.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    if let Some(count) = COUNTS.get_ptr_mut(cpu * CODES + code) {
        // SAFETY: a record of this CPU, which runs one such program at a time.
        unsafe {
            (*count).packets += 1;
            (*count).bytes += bytes;
        }
    }
}
