//! The entry points and their common part: parse, look up, count, return the verdict.

use aya_ebpf::{
    bindings::{
        TC_ACT_SHOT,
        xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS},
        xdp_md,
    },
    helpers::{bpf_skb_pull_data, bpf_xdp_get_buff_len},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use couic_ebpf::layout::*;

use crate::{
    frame::{MAX_TAGS, Source, bare, beneath, ethernet, plain},
    maps::{count, is_open, judge4, judge6},
    packet::{Buffers, Direct, Network},
};

/// Maximum length of the headers of a packet in an skb: Ethernet, five encapsulations of up to eight bytes, IPv6.
const HEADERS: u32 = 14 + 5 * 8 + 40;
/// `TCX_NEXT` of linux/bpf.h: continues with the next program on the interface; without one, the packet passes.
const TCX_NEXT: i32 = -1;

/// For Linux 5.18 and later: frames may span several buffers, so that native mode works with large MTUs.
#[xdp(frags)]
pub(crate) fn couic(context: XdpContext) -> u32 {
    filter::<true>(&context)
}

/// For older kernels, which support neither such frames nor the helpers to read them.
#[xdp]
pub(crate) fn couic_single(context: XdpContext) -> u32 {
    filter::<false>(&context)
}

/// For links without an Ethernet header (tun, WireGuard, PPP), where generic XDP presents packets from the IP header
/// on.
#[xdp]
pub(crate) fn couic_ip(context: XdpContext) -> u32 {
    let (start, end) = (context.data(), context.data_end());
    verdict(bare(&Direct::<false> { start, end }), |_| {
        (end - start) as u64
    })
}

/// For TCX ingress (Linux 6.6), on any link: reads from the network header on, regardless of the link layer header.
#[classifier]
pub(crate) fn couic_tcx(context: TcContext) -> i32 {
    match ingress(&context) {
        XDP_PASS => TCX_NEXT,
        _ => TC_ACT_SHOT as i32,
    }
}

#[inline(always)]
fn ingress(context: &TcContext) -> u32 {
    let skb = context.skb.skb;
    // SAFETY: the context passed by the kernel.
    let (length, protocol, tagged) = unsafe { ((*skb).len, (*skb).protocol, (*skb).vlan_present) };
    let linear = context.data_end() - context.data();
    let wanted = if length < HEADERS { length } else { HEADERS };
    if linear < wanted as usize {
        // On error, the reads below fail.
        // SAFETY: as above.
        unsafe { bpf_skb_pull_data(skb.cast(), wanted) };
    }
    // The outermost tag is in the skb by now, not in a header.
    let tags = MAX_TAGS - (tagged != 0) as usize;
    let source = beneath(&Network(skb), 0, u16::from_be(protocol as u16), tags);
    verdict(source, |_| length.into())
}

#[inline(always)]
fn filter<const FRAGS: bool>(context: &XdpContext) -> u32 {
    let (start, end) = (context.data(), context.data_end());
    let here = end - start;
    match plain(&Direct::<false> { start, end }) {
        Some(Source::Runt) | None if FRAGS => anywhere(context.ctx, start, end),
        Some(source) => verdict(source, |end| length::<FRAGS>(context.ctx, here, end)),
        None => deeper(start, end),
    }
}

/// Frames with other headers before the IP packet, or without an IP packet.
#[inline(never)]
fn deeper(start: usize, end: usize) -> u32 {
    verdict(ethernet(&Direct::<true> { start, end }), |_| {
        (end - start) as u64
    })
}

/// The same if the headers may continue beyond the first buffer.
#[inline(never)]
fn anywhere(context: *mut xdp_md, start: usize, end: usize) -> u32 {
    let here = end - start;
    let mut source = ethernet(&Direct::<true> { start, end });
    if matches!(source, Source::Runt) && length::<true>(context, here, usize::MAX) > here as u64 {
        source = ethernet(&Buffers(context));
    }
    verdict(source, |end| length::<true>(context, here, end))
}

/// The length of the frame. Costs a helper call only if the IP packet continues beyond the first buffer.
#[inline(always)]
fn length<const FRAGS: bool>(context: *mut xdp_md, here: usize, ip_end: usize) -> u64 {
    if FRAGS && ip_end > here {
        // SAFETY: the context passed by the kernel (Linux 5.18).
        return unsafe { bpf_xdp_get_buff_len(context) };
    }
    here as u64
}

/// The verdict for a frame; `length` takes the end of the IP packet and returns the length of the frame.
#[inline(always)]
fn verdict(source: Source, length: impl Fn(usize) -> u64) -> u32 {
    match source {
        Source::V4 { source, end } => answer(judge4(source), length(end)),
        Source::V6 { hi, lo, end } => answer(judge6(hi, lo), length(end)),
        Source::Skipped(Skipped::Vlan) => aborted(Skipped::Vlan.code(), length(usize::MAX)),
        Source::Skipped(kind) => answer(kind.code(), length(usize::MAX)),
        Source::Runt => aborted(CODE_ABORTED, length(usize::MAX)),
    }
}

/// The kernel drops the frame and fires the tracepoint `xdp:xdp_exception`. With the panic switch on, the frame passes,
/// and the kernel handles the malformed headers.
#[inline(always)]
fn aborted(code: u32, bytes: u64) -> u32 {
    if is_open() {
        return answer(CODE_PASS, bytes);
    }
    count(code, bytes);
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

/// Some helpers are restricted to GPL-compatible programs. "Dual MIT/GPL" is the kernel's string for MIT.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
