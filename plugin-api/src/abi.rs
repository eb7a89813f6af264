//! The C ABI between a host and a plugin, major 1 minor 0: the Rust side of `include/couic_notifier.h`.
//!
//! No Rust type, allocation, future or runtime handle crosses it, so plugins may be built by any toolchain. The head is
//! frozen forever; all other structs only grow at their end. The header has the calling rules.
#![expect(
    missing_docs,
    reason = "the header documents the fields, and every name here is the name there"
)]

use std::{
    ffi::{c_char, c_void},
    mem::{offset_of, size_of},
};

pub const MAGIC: [u8; 8] = *b"COUICNTF";
pub const MAJOR: u16 = 1;
pub const MINOR: u16 = 0;
/// Owner of the ELF note.
pub const NOTE_NAME: [u8; 8] = *b"COUIC\0\0\0";
pub const NOTE_TYPE: u32 = 1;
/// The exported symbol.
pub const SYMBOL: &str = "couic_notifier_plugin";

pub const FLAG_UNWIND: u32 = 1;
pub const FLAG_CONCURRENT: u32 = 2;
pub const FLAG_ASYNC: u32 = 4;

pub const OK: i32 = 0;
pub const RETRY: i32 = 1;
pub const RATE_LIMITED: i32 = 2;
pub const PERMANENT: i32 = 3;
pub const BAD_CONFIG: i32 = 4;
pub const PANIC: i32 = 5;
pub const CANCELLED: i32 = 6;
pub const BUSY: i32 = 7;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Slice {
    pub ptr: *const u8,
    pub len: usize,
}

#[derive(Debug)]
#[repr(C)]
pub struct ErrBuf {
    pub ptr: *mut u8,
    pub cap: usize,
    pub len: usize,
}

/// `couic_result`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawResult {
    pub struct_size: u32,
    pub status: i32,
    pub retry_after_ms: u64,
    pub http_status: u32,
    pub reserved: u32,
    pub message: Slice,
}

pub type LogFn = unsafe extern "C" fn(ctx: *mut c_void, level: u32, msg: Slice);
pub type DoneFn = unsafe extern "C" fn(ctx: *mut c_void, token: u64, res: *const RawResult);

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Host {
    pub struct_size: u32,
    pub abi_major: u16,
    pub abi_minor: u16,
    pub ctx: *mut c_void,
    pub log: Option<LogFn>,
    pub done: Option<DoneFn>,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Request {
    pub struct_size: u32,
    pub attempt: u32,
    pub token: u64,
    pub timeout_ms: u64,
    pub event: Slice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Head {
    pub magic: [u8; 8],
    pub abi_major: u16,
    pub abi_minor: u16,
    pub min_host_minor: u16,
    pub reserved: u16,
    pub struct_size: u32,
    pub flags: u32,
}

/// The ELF note in the section `.note.couic`.
#[derive(Debug)]
#[repr(C, align(4))]
pub struct Note {
    pub name_size: u32,
    pub desc_size: u32,
    pub kind: u32,
    pub name: [u8; 8],
    pub head: Head,
}

pub type CreateFn = unsafe extern "C" fn(
    host: *const Host,
    config: Slice,
    out: *mut *mut c_void,
    err: *mut ErrBuf,
) -> i32;
pub type NotifyFn = unsafe extern "C" fn(handle: *mut c_void, req: *const Request) -> i32;
pub type CancelFn = unsafe extern "C" fn(handle: *mut c_void, token: u64);
pub type DestroyFn = unsafe extern "C" fn(handle: *mut c_void);

/// `couic_notifier`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Descriptor {
    pub head: Head,
    pub name: *const c_char,
    pub version: *const c_char,
    pub build_info: *const c_char,
    pub config_schema: *const c_char,
    pub create: Option<CreateFn>,
    pub notify: Option<NotifyFn>,
    pub cancel: Option<CancelFn>,
    pub destroy: Option<DestroyFn>,
}

// SAFETY: a descriptor is constant data: its pointers point to literals and functions, and are never written through.
unsafe impl Sync for Descriptor {}
// SAFETY: as above.
unsafe impl Send for Descriptor {}

// SAFETY: ctx is opaque, and the header allows log and done from any thread.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Slice {
    /// A slice of `bytes`, which must outlive every use of it by the other side.
    #[must_use]
    pub const fn new(bytes: &[u8]) -> Self {
        Self {
            ptr: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    /// The bytes; `None` if the pointer is NULL but the length is not 0.
    ///
    /// # Safety
    /// `ptr` must be NULL or point to `len` bytes that live and do not change for `'a`.
    #[must_use]
    pub unsafe fn bytes<'a>(self) -> Option<&'a [u8]> {
        if self.len == 0 {
            Some(&[])
        } else if self.ptr.is_null() || isize::try_from(self.len).is_err() {
            None
        } else {
            // SAFETY: not NULL, of a valid length, and alive, as the caller guarantees.
            Some(unsafe { std::slice::from_raw_parts(self.ptr, self.len) })
        }
    }
}

impl Head {
    /// The head of a plugin that is built with this crate.
    #[must_use]
    pub const fn current(flags: u32) -> Self {
        Self {
            magic: MAGIC,
            abi_major: MAJOR,
            abi_minor: MINOR,
            min_host_minor: 0,
            reserved: 0,
            struct_size: size_of::<Descriptor>() as u32,
            flags,
        }
    }

    /// Reads a head from 24 bytes in the byte order of this machine.
    #[must_use]
    pub fn read(bytes: &[u8; 24]) -> Self {
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| {
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let mut magic = [0; 8];
        magic.copy_from_slice(&bytes[..8]);
        Self {
            magic,
            abi_major: half(8),
            abi_minor: half(10),
            min_host_minor: half(12),
            reserved: half(14),
            struct_size: word(16),
            flags: word(20),
        }
    }
}

impl Note {
    /// The note that repeats `head`.
    #[must_use]
    pub const fn new(head: Head) -> Self {
        Self {
            name_size: 6,
            desc_size: size_of::<Head>() as u32,
            kind: NOTE_TYPE,
            name: NOTE_NAME,
            head,
        }
    }
}

/// Fails the build if an offset differs from the header. Pointers have 8 bytes: plugins are for 64-bit hosts.
macro_rules! layout {
    ($($type:ident = $size:literal { $($field:ident @ $offset:literal),+ $(,)? })+) => {
        const _: () = { $(
            assert!(size_of::<$type>() == $size);
            $(assert!(offset_of!($type, $field) == $offset);)+
        )+ };
        /// Every struct of the ABI: its size, its fields and their offsets.
        #[cfg(test)]
        const LAYOUT: &[(&str, usize, &[(&str, usize)])] =
            &[$((stringify!($type), $size, &[$((stringify!($field), $offset)),+])),+];
    };
}

layout! {
    Slice = 16 { ptr @ 0, len @ 8 }
    ErrBuf = 24 { ptr @ 0, cap @ 8, len @ 16 }
    RawResult = 40 { struct_size @ 0, status @ 4, retry_after_ms @ 8, http_status @ 16, reserved @ 20, message @ 24 }
    Host = 32 { struct_size @ 0, abi_major @ 4, abi_minor @ 6, ctx @ 8, log @ 16, done @ 24 }
    Request = 40 { struct_size @ 0, attempt @ 4, token @ 8, timeout_ms @ 16, event @ 24 }
    Head = 24 {
        magic @ 0, abi_major @ 8, abi_minor @ 10, min_host_minor @ 12, reserved @ 14, struct_size @ 16, flags @ 20,
    }
    Note = 44 { name_size @ 0, desc_size @ 4, kind @ 8, name @ 12, head @ 20 }
    Descriptor = 88 {
        head @ 0, name @ 24, version @ 32, build_info @ 40, config_schema @ 48, create @ 56, notify @ 64, cancel @ 72,
        destroy @ 80,
    }
}

#[cfg(test)]
mod tests;
