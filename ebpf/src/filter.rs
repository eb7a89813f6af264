//! The two entry points and what they share.

use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS},
    helpers::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    macros::xdp,
    programs::XdpContext,
};
use couic_ebpf::layout::*;

use crate::{
    frame::{HEADERS, Source, parse},
    maps::{count, is_open, judge4, judge6},
};

/// For Linux 5.18 and later: frames may lie in several buffers, so that large MTUs keep native mode.
#[xdp(frags)]
pub(crate) fn couic(context: XdpContext) -> u32 {
    filter::<true>(&context)
}

/// For older kernels, which know neither such frames nor the helpers that read them.
#[xdp]
pub(crate) fn couic_single(context: XdpContext) -> u32 {
    filter::<false>(&context)
}

#[inline(always)]
fn filter<const FRAGS: bool>(context: &XdpContext) -> u32 {
    let (start, end) = (context.data(), context.data_end());
    let here = end - start;
    match parse(start, end) {
        Source::V4 { source, end } => answer(judge4(source), length::<FRAGS>(context, here, end)),
        Source::V6 { hi, lo, end } => answer(judge6(hi, lo), length::<FRAGS>(context, here, end)),
        Source::NotIp => answer(CODE_PASS, length::<FRAGS>(context, here, usize::MAX)),
        Source::Runt if FRAGS => elsewhere(context, here),
        Source::Runt => aborted(here),
    }
}

/// The frame's length. Only where the IP packet goes on behind the first buffer does it cost a call.
#[inline(always)]
fn length<const FRAGS: bool>(context: &XdpContext, here: usize, ip_end: usize) -> u64 {
    if FRAGS && ip_end > here {
        // SAFETY: the context that the kernel gave (Linux 5.18).
        return unsafe { bpf_xdp_get_buff_len(context.ctx) };
    }
    here as u64
}

/// Aligned as frames are.
#[repr(align(8))]
struct Headers([u8; HEADERS]);

/// The first buffer ends inside the headers: either the frame does too, or the rest lies in other buffers.
#[inline(never)]
fn elsewhere(context: &XdpContext, here: usize) -> u32 {
    // SAFETY: the context that the kernel gave (Linux 5.18).
    let length = unsafe { bpf_xdp_get_buff_len(context.ctx) };
    if length <= here as u64 {
        return aborted(here);
    }
    let mut copy = Headers([0; HEADERS]);
    let wanted = if length < HEADERS as u64 {
        length as u32
    } else {
        HEADERS as u32
    };
    // SAFETY: `copy` holds `wanted` bytes.
    let failed = unsafe { bpf_xdp_load_bytes(context.ctx, 0, copy.0.as_mut_ptr().cast(), wanted) };
    let start = copy.0.as_ptr() as usize;
    if failed != 0 {
        return aborted(length as usize);
    }
    match parse(start, start + wanted as usize) {
        Source::V4 { source, .. } => answer(judge4(source), length),
        Source::V6 { hi, lo, .. } => answer(judge6(hi, lo), length),
        Source::NotIp => answer(CODE_PASS, length),
        Source::Runt => aborted(length as usize),
    }
}

/// The kernel drops the frame, and tells those who trace `xdp:xdp_exception`. Under the panic switch it passes: whatever
/// is wrong with it is for the kernel to find.
#[inline(always)]
fn aborted(bytes: usize) -> u32 {
    if is_open() {
        return answer(CODE_PASS, bytes as u64);
    }
    count(CODE_ABORTED, bytes as u64);
    XDP_ABORTED
}

#[inline(always)]
fn answer(code: u32, bytes: u64) -> u32 {
    count(code, bytes);
    if code < CODE_IGNORE {
        XDP_DROP
    } else {
        XDP_PASS
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel lets only GPL-compatible programs call some helpers. "Dual MIT/GPL" is what it calls MIT.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
