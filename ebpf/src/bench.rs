//! Programs for lib/firewall/benches/dataplane.rs, not shipped. They replace the source of the same frame by one drawn
//! from a sample, so that one run of BPF_PROG_TEST_RUN covers many sources. `floor` parses and draws; `ours` also looks
//! up Couic's tables; `lpm` looks up two of the kernel's LPM tries, ignore then drop, and counts in per-CPU maps: the
//! common design.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
#[expect(dead_code, reason = "the frames of a bench are plain")]
mod frame;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod packet;
#[cfg(target_arch = "bpf")]
mod usual;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod bench {
    use aya_ebpf::{
        bindings::{
            BPF_F_MMAPABLE,
            xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS},
        },
        helpers::bpf_ktime_get_ns,
        macros::{map, xdp},
        maps::Array,
        programs::XdpContext,
    };
    use couic_ebpf::layout::CODE_IGNORE;

    use crate::{
        frame::{Source, plain},
        maps::{count, judge4, judge6},
        packet::Direct,
        usual,
    };

    const SAMPLE: u32 = 1 << 20;

    #[map]
    static SOURCES: Array<[u64; 2]> = Array::with_max_entries(SAMPLE, BPF_F_MMAPABLE);
    /// End time of each window of runs.
    #[map]
    static STAMPS: Array<u64> = Array::with_max_entries(64, BPF_F_MMAPABLE);
    #[map]
    static NEXT: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);

    /// The next source of the sample; for IPv4 the address is the first word.
    #[inline(always)]
    fn draw() -> Option<[u64; 2]> {
        let next = NEXT.get_ptr_mut(0)?;
        // SAFETY: one run at a time, on one CPU.
        let number = unsafe {
            *next += 1;
            *next
        };
        if number & 4095 == 0
            && let Some(stamp) = STAMPS.get_ptr_mut((number >> 12) as u32 & 63)
        {
            // SAFETY: as above; the helper has no arguments and reads a clock.
            unsafe { *stamp = bpf_ktime_get_ns() };
        }
        SOURCES.get(number as u32 & (SAMPLE - 1)).copied()
    }

    #[inline(always)]
    fn run(
        context: &XdpContext,
        v4: impl FnOnce(u32, u64) -> u32,
        v6: impl FnOnce(u64, u64, u64) -> u32,
    ) -> u32 {
        let (start, end) = (context.data(), context.data_end());
        let Some([a, b]) = draw() else {
            return XDP_ABORTED;
        };
        match plain(&Direct::<false> { start, end }) {
            Some(Source::V4 { source, .. }) => v4(source ^ a as u32, (end - start) as u64),
            Some(Source::V6 { hi, lo, .. }) => v6(hi ^ a, lo ^ b, (end - start) as u64),
            _ => XDP_ABORTED,
        }
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

    #[xdp]
    pub(crate) fn floor(context: XdpContext) -> u32 {
        let verdict = |bit: u64| if bit & 1 == 0 { XDP_DROP } else { XDP_PASS };
        run(
            &context,
            |source, _| verdict(source.into()),
            |hi, lo, _| verdict(hi ^ lo),
        )
    }

    #[xdp]
    pub(crate) fn ours(context: XdpContext) -> u32 {
        run(
            &context,
            |source, bytes| answer(judge4(source), bytes),
            |hi, lo, bytes| answer(judge6(hi, lo), bytes),
        )
    }

    #[xdp]
    pub(crate) fn lpm(context: XdpContext) -> u32 {
        run(&context, usual::judge4, usual::judge6)
    }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
