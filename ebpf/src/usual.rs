//! The common design of such filters, for comparison: two LPM tries of the kernel per family, ignore then drop, per-CPU
//! counters per action, and an LRU hash of counters per tag.

use aya_ebpf::{
    bindings::{
        BPF_F_NO_PREALLOC,
        xdp_action::{XDP_DROP, XDP_PASS},
    },
    macros::map,
    maps::{LpmTrie, LruPerCpuHashMap, PerCpuArray, lpm_trie::Key},
};
use couic_ebpf::layout::Count;

#[map]
static IGNORE_V4: LpmTrie<u32, u32> = LpmTrie::with_max_entries(1 << 21, BPF_F_NO_PREALLOC);
#[map]
static DROP_V4: LpmTrie<u32, u32> = LpmTrie::with_max_entries(1 << 21, BPF_F_NO_PREALLOC);
#[map]
static IGNORE_V6: LpmTrie<[u64; 2], u32> = LpmTrie::with_max_entries(1 << 21, BPF_F_NO_PREALLOC);
#[map]
static DROP_V6: LpmTrie<[u64; 2], u32> = LpmTrie::with_max_entries(1 << 21, BPF_F_NO_PREALLOC);
#[map]
static ACTIONS: PerCpuArray<Count> = PerCpuArray::with_max_entries(5, 0);
#[map]
static TAGS: LruPerCpuHashMap<u32, Count> = LruPerCpuHashMap::with_max_entries(64, 0);

#[inline(always)]
fn add(count: *mut Count, bytes: u64) {
    // SAFETY: a record of this CPU.
    unsafe {
        (*count).packets += 1;
        (*count).bytes += bytes;
    }
}

#[inline(always)]
fn tagged(tag: u32, verdict: u32, bytes: u64) -> u32 {
    match TAGS.get_ptr_mut(&tag) {
        Some(count) => add(count, bytes),
        None => {
            let _ = TAGS.insert(&tag, Count { packets: 1, bytes }, 0);
        }
    }
    acted(verdict, bytes)
}

#[inline(always)]
fn acted(verdict: u32, bytes: u64) -> u32 {
    if let Some(count) = ACTIONS.get_ptr_mut(verdict) {
        add(count, bytes);
    }
    verdict
}

#[inline(always)]
pub(crate) fn judge4(source: u32, bytes: u64) -> u32 {
    let key = Key::new(32, source.to_be());
    if let Some(tag) = IGNORE_V4.get(&key) {
        return tagged(*tag, XDP_PASS, bytes);
    }
    if let Some(tag) = DROP_V4.get(&key) {
        return tagged(*tag, XDP_DROP, bytes);
    }
    acted(XDP_PASS, bytes)
}

#[inline(always)]
pub(crate) fn judge6(hi: u64, lo: u64, bytes: u64) -> u32 {
    let key = Key::new(128, [hi.to_be(), lo.to_be()]);
    if let Some(tag) = IGNORE_V6.get(&key) {
        return tagged(*tag, XDP_PASS, bytes);
    }
    if let Some(tag) = DROP_V6.get(&key) {
        return tagged(*tag, XDP_DROP, bytes);
    }
    acted(XDP_PASS, bytes)
}
