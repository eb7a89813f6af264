//! The entry points and what they share: parse, look up, count, answer.

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

/// What is looked at of a packet in an skb at most: Ethernet, five encapsulations of up to eight bytes, IPv6.
const HEADERS: u32 = 14 + 5 * 8 + 40;
/// `TCX_NEXT` of linux/bpf.h: the next program on the interface is asked, and the packet passes where there is none.
const TCX_NEXT: i32 = -1;

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

/// For links without an Ethernet header (tun, WireGuard, PPP), where generic XDP hands over packets from the IP header on.
#[xdp]
pub(crate) fn couic_ip(context: XdpContext) -> u32 {
    let (start, end) = (context.data(), context.data_end());
    verdict(bare(&Direct::<false> { start, end }), |_| {
        (end - start) as u64
    })
}

/// For TCX ingress (Linux 6.6), on any link: reads from the network header on, so what the link's own header is does not
/// matter.
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
    // SAFETY: the context that the kernel gave.
    let (length, protocol, tagged) = unsafe { ((*skb).len, (*skb).protocol, (*skb).vlan_present) };
    let linear = context.data_end() - context.data();
    let wanted = if length < HEADERS { length } else { HEADERS };
    if linear < wanted as usize {
        // What cannot be pulled in is told by the reads that fail then.
        // SAFETY: as above.
        unsafe { bpf_skb_pull_data(skb.cast(), wanted) };
    }
    // The outermost tag is in the skb itself by now, and in no header.
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

/// Frames with other headers before the IP packet, or without one.
#[inline(never)]
fn deeper(start: usize, end: usize) -> u32 {
    verdict(ethernet(&Direct::<true> { start, end }), |_| {
        (end - start) as u64
    })
}

/// The same where the headers may go on in other buffers than the first.
#[inline(never)]
fn anywhere(context: *mut xdp_md, start: usize, end: usize) -> u32 {
    let here = end - start;
    let mut source = ethernet(&Direct::<true> { start, end });
    if matches!(source, Source::Runt) && length::<true>(context, here, usize::MAX) > here as u64 {
        source = ethernet(&Buffers(context));
    }
    verdict(source, |end| length::<true>(context, here, end))
}

/// The frame's length. Only where the IP packet goes on behind the first buffer does it cost a call.
#[inline(always)]
fn length<const FRAGS: bool>(context: *mut xdp_md, here: usize, ip_end: usize) -> u64 {
    if FRAGS && ip_end > here {
        // SAFETY: the context that the kernel gave (Linux 5.18).
        return unsafe { bpf_xdp_get_buff_len(context) };
    }
    here as u64
}

/// The answer for a frame; `length` is told where its IP packet ends, and gives its length.
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

/// The kernel drops the frame, and tells those who trace `xdp:xdp_exception`. Under the panic switch it passes: whatever
/// is wrong with it is for the kernel to find.
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

/// The kernel lets only GPL-compatible programs call some helpers. "Dual MIT/GPL" is what it calls MIT.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
