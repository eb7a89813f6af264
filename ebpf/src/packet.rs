//! Three ways to read a frame: by pointers into its first buffer, by a helper if it spans several buffers, and by a
//! helper from the network header of an skb.

use core::arch::asm;

use aya_ebpf::{
    bindings::{__sk_buff, bpf_hdr_start_off::BPF_HDR_START_NET, xdp_md},
    helpers::{bpf_skb_load_bytes_relative, bpf_xdp_load_bytes},
};

use crate::frame::Packet;

const IPV4: usize = 20;
const IPV6: usize = 40;

/// The first buffer of a frame, by its start and end address. `MOVING`: for offsets that are not constant.
pub(crate) struct Direct<const MOVING: bool> {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl<const MOVING: bool> Direct<MOVING> {
    /// Bytes at `at`. The verifier requires each range to be compared with `end` before it is read, through the same
    /// pointer that is compared.
    #[inline(always)]
    fn bytes(&self, at: usize, len: usize) -> Option<*const u8> {
        let mut from = self.start + at;
        if MOVING {
            from = opaque(from);
        }
        (from + len <= self.end).then_some(from as *const u8)
    }
}

impl<const MOVING: bool> Packet for Direct<MOVING> {
    #[inline(always)]
    fn half(&self, at: usize) -> Option<u16> {
        self.bytes(at, 2).map(|from| be16(from, 0))
    }

    #[inline(always)]
    fn word(&self, at: usize) -> Option<u32> {
        self.bytes(at, 4).map(|from| be32(from, 0))
    }

    #[inline(always)]
    fn ipv4(&self, at: usize) -> Option<(u16, u32)> {
        let ip = self.bytes(at, IPV4)?;
        Some((be16(ip, 2), be32(ip, 12)))
    }

    #[inline(always)]
    fn ipv6(&self, at: usize) -> Option<(u16, u64, u64)> {
        let ip = self.bytes(at, IPV6)?;
        Some((be16(ip, 4), be64(ip, 8), be64(ip, 16)))
    }
}

/// The first buffer begins at an even address, like its headroom, and all offsets read here are even. Reads half words,
/// since the compiler would split an unaligned read into bytes.
#[inline(always)]
fn be16(from: *const u8, at: usize) -> u16 {
    // SAFETY: in a range that `bytes` has compared with the end of the buffer; aligned, see above.
    u16::from_be(unsafe { from.add(at).cast::<u16>().read() })
}

#[inline(always)]
fn be32(from: *const u8, at: usize) -> u32 {
    opaque32(u32::from(be16(from, at)) << 16 | u32::from(be16(from, at + 2)))
}

#[inline(always)]
fn be64(from: *const u8, at: usize) -> u64 {
    let half = |n: usize| u64::from(be16(from, at + 2 * n));
    let value = half(0) << 48 | half(1) << 32 | half(2) << 16 | half(3);
    opaque(value as usize) as u64
}

/// Hides an address from the optimizer: a sum computed in a different order would be a different pointer to the
/// verifier than the compared one.
#[inline(always)]
fn opaque(mut address: usize) -> usize {
    // SAFETY: moves a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) address, options(pure, nomem, nostack)) };
    address
}

/// Hides a value from the optimizer. The verifier of Linux 6.12 and older forgets all bounds at a byte swap, so the
/// compiler must not drop masks that it considers redundant after one.
#[inline(always)]
fn opaque32(mut value: u32) -> u32 {
    // SAFETY: moves a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack)) };
    value
}

/// A frame in several buffers (Linux 5.18).
pub(crate) struct Buffers(pub(crate) *mut xdp_md);

/// An skb, from its network header on. Only its linear part is visible, so headers must be pulled in first.
pub(crate) struct Network(pub(crate) *mut __sk_buff);

/// Bytes on the stack, with the alignment of a frame.
#[repr(align(8))]
struct Aligned<const N: usize>([u8; N]);

/// Copies `N` bytes out of a frame.
trait CopyOut {
    fn copy<const N: usize>(&self, at: usize) -> Option<Aligned<N>>;
}

impl CopyOut for Buffers {
    #[inline(always)]
    fn copy<const N: usize>(&self, at: usize) -> Option<Aligned<N>> {
        let mut bytes = Aligned([0; N]);
        // SAFETY: the context passed by the kernel; `bytes` holds `N` bytes.
        let failed =
            unsafe { bpf_xdp_load_bytes(self.0, at as u32, bytes.0.as_mut_ptr().cast(), N as u32) };
        (failed == 0).then_some(bytes)
    }
}

impl CopyOut for Network {
    #[inline(always)]
    fn copy<const N: usize>(&self, at: usize) -> Option<Aligned<N>> {
        let mut bytes = Aligned([0; N]);
        // SAFETY: the context passed by the kernel; `bytes` holds `N` bytes.
        let failed = unsafe {
            bpf_skb_load_bytes_relative(
                self.0.cast(),
                at as u32,
                bytes.0.as_mut_ptr().cast(),
                N as u32,
                BPF_HDR_START_NET,
            )
        };
        (failed == 0).then_some(bytes)
    }
}

/// Copies few bytes at a time, as the stack is small.
impl<C: CopyOut> Packet for C {
    #[inline(always)]
    fn half(&self, at: usize) -> Option<u16> {
        self.copy::<2>(at).map(|bytes| be16(bytes.0.as_ptr(), 0))
    }

    #[inline(always)]
    fn word(&self, at: usize) -> Option<u32> {
        self.copy::<4>(at).map(|bytes| be32(bytes.0.as_ptr(), 0))
    }
}
