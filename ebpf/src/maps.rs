//! The tables as maps of the program. The sizes here are least ones: the daemon sets the real ones when it loads.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    helpers::{bpf_get_smp_processor_id, bpf_jiffies64, bpf_ktime_get_coarse_ns},
    macros::map,
    maps::Array,
};
use couic_ebpf::{Tables, layout::*, lookup};

macro_rules! tables {
    ($($name:ident: $record:ty = $entries:expr;)+) => {
        $(#[map]
        static $name: Array<$record> = Array::with_max_entries($entries, BPF_F_MMAPABLE);)+
    };
}

tables! {
    CONFIG: Config = 1;
    BEAT: Beat = 1;
    PREFILTER4: u64 = PREFILTER_WORDS;
    TOP4: Top = TOPS;
    TOP6: Top = TOPS;
    SHORT4: u64 = SHORTS;
    SHORT6: u64 = SHORTS;
    LINE4S: Line4 = MIN_LINES;
    DEADLINES4: Deadlines4 = MIN_LINES;
    CELL6: Cell = CELLS;
    STEPS6: Steps = 2;
    LINE6S: Line6 = MIN_LINES;
    ENTRY6: Entry6 = 1;
    COUNTS: Count = CODES;
}

/// The maps of this program. A map of type array hands out a null pointer where the index is too large, and the
/// verifier wants to see that asked.
pub(crate) struct Kernel;

macro_rules! at {
    ($map:ident, $index:expr) => {
        $map.get_ptr($index).unwrap_or(core::ptr::null())
    };
}

impl Tables for Kernel {
    #[inline(always)]
    fn config(&self) -> *const Config {
        at!(CONFIG, 0)
    }
    #[inline(always)]
    fn beat(&self) -> *mut Beat {
        BEAT.get_ptr_mut(0).unwrap_or(core::ptr::null_mut())
    }
    #[inline(always)]
    fn prefilter4(&self, word: u32) -> *const u64 {
        at!(PREFILTER4, word)
    }
    #[inline(always)]
    fn top4(&self, head: u32) -> *const Top {
        at!(TOP4, head)
    }
    #[inline(always)]
    fn top6(&self, head: u32) -> *const Top {
        at!(TOP6, head)
    }
    #[inline(always)]
    fn short4(&self, node: u32) -> *const u64 {
        at!(SHORT4, node)
    }
    #[inline(always)]
    fn short6(&self, node: u32) -> *const u64 {
        at!(SHORT6, node)
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
    fn cell6(&self, cell: u32) -> *const Cell {
        at!(CELL6, cell)
    }
    #[inline(always)]
    fn steps6(&self, which: u32) -> *const Steps {
        at!(STEPS6, which)
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
        // SAFETY: takes nothing, reads a counter (Linux 5.5).
        unsafe { bpf_jiffies64() }
    }
    #[inline(always)]
    fn mono(&self) -> u64 {
        // SAFETY: takes nothing, reads a clock (Linux 5.11).
        unsafe { bpf_ktime_get_coarse_ns() }
    }
    #[inline(always)]
    fn once4(&self, source: u32, word: u64) -> u32 {
        couic_walk4(source, word)
    }
    #[inline(always)]
    fn once6(&self, hi: u64, lo: u64, word: u64, cell: u64) -> u32 {
        couic_walk6(hi, lo, word, cell)
    }
    #[inline(always)]
    fn long6(&self, hi: u64, lo: u64, cell: u64, now: u64) -> u32 {
        couic_long6(hi, lo, cell, now)
    }
    #[inline(always)]
    fn short(&self, head: u32, v6: bool, policy: u32, now: u64) -> u32 {
        couic_short(head, u32::from(v6), policy, now)
    }
    #[inline(always)]
    fn find4(&self, key: u64, now: u64) -> u32 {
        couic_probe4(key, now)
    }
    #[inline(always)]
    fn find6(&self, hi: u64, lo: u64, len_policy: u64, now: u64) -> u32 {
        couic_probe6(hi, lo, len_policy, now)
    }
}

// Functions that the linker leaves global: the verifier looks at each once, whoever calls it and however often.

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_walk4(source: u32, word: u64) -> u32 {
    lookup::walk4(&Kernel, source, word)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_walk6(hi: u64, lo: u64, word: u64, cell: u64) -> u32 {
    lookup::walk6(&Kernel, hi, lo, word, cell)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn couic_long6(hi: u64, lo: u64, cell: u64, now: u64) -> u32 {
    lookup::longer6(&Kernel, hi, lo, cell, now)
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
extern "C" fn couic_probe6(hi: u64, lo: u64, len_policy: u64, now: u64) -> u32 {
    lookup::probe6(&Kernel, hi, lo, len_policy, now)
}

/// The verdict code for an IPv4 source.
#[inline(always)]
pub(crate) fn judge4(source: u32) -> u32 {
    if lookup::flagged4(&Kernel, source) {
        lookup::lookup4(&Kernel, source)
    } else {
        CODE_PASS
    }
}

/// The verdict code for an IPv6 source.
#[inline(always)]
pub(crate) fn judge6(hi: u64, lo: u64) -> u32 {
    if lookup::flagged6(&Kernel, hi) {
        lookup::lookup6(&Kernel, hi, lo)
    } else {
        CODE_PASS
    }
}

/// Counts a frame under a code, on this CPU's own page: no other CPU writes there.
#[inline(always)]
pub(crate) fn count(code: u32, bytes: u64) {
    // SAFETY: takes nothing, reads a number.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    if let Some(count) = COUNTS.get_ptr_mut(cpu * CODES + code) {
        // SAFETY: a record of this CPU, which runs one program of this kind at a time.
        unsafe {
            (*count).packets += 1;
            (*count).bytes += bytes;
        }
    }
}
