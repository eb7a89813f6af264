//! Memory that packets read: a table as one typed piece of memory, mapped from a map of the program or, in tests and
//! models, on the heap.
//!
//! Mapping a BPF array makes all mapped pages count as resident in this process, so a table is mapped only as far as
//! it is in use ([`Region::reach`]). Every store is a whole aligned word with release order: a packet sees it or not.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    io,
    os::fd::{AsFd, AsRawFd},
    ptr::null_mut,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use aya::maps::MapData;

use super::PlaneError;

/// Types that are stored whole.
pub(super) trait Word: Copy {
    /// # Safety
    /// `at` is aligned, valid, and only ever accessed as a word of this size.
    unsafe fn load(at: *mut Self) -> Self;
    /// # Safety
    /// As [`Word::load`].
    unsafe fn store(at: *mut Self, value: Self);
}

macro_rules! word {
    ($word:ty, $atomic:ty) => {
        impl Word for $word {
            #[inline(always)]
            unsafe fn load(at: *mut Self) -> Self {
                // SAFETY: as the caller guarantees.
                unsafe { <$atomic>::from_ptr(at) }.load(Ordering::Relaxed)
            }
            #[inline(always)]
            unsafe fn store(at: *mut Self, value: Self) {
                // SAFETY: as the caller guarantees.
                unsafe { <$atomic>::from_ptr(at) }.store(value, Ordering::Release);
            }
        }
    };
}
word!(u32, AtomicU32);
word!(u64, AtomicU64);

/// Reads a field of a record: `read!(region, index)` or `read!(region, index, field)`.
macro_rules! read {
    ($region:expr, $index:expr $(, $($field:tt)+)?) => {{
        let record = $region.at($index);
        // SAFETY: `at` gave a record inside the region, and all fields of tables are whole words.
        unsafe { $crate::dataplane::region::Word::load(&raw mut (*record)$(.$($field)+)?) }
    }};
}
/// Stores into a field of a record: `write!(region, index => value)` or `write!(region, index, field => value)`.
macro_rules! write {
    ($region:expr, $index:expr $(, $field:ident $([$at:expr])?)? => $value:expr) => {{
        let (record, value) = ($region.at($index), $value);
        // SAFETY: `at` gave a record inside the region, and all fields of tables are whole words.
        unsafe { $crate::dataplane::region::Word::store(&raw mut (*record)$(.$field $([$at])?)?, value) }
    }};
}
pub(super) use {read, write};

/// A table of `T`s, all zero at first.
#[derive(Debug)]
pub(super) struct Region<T> {
    base: *mut T,
    capacity: usize,
    reach: usize,
    memory: Memory,
    name: &'static str,
}

#[derive(Debug)]
enum Memory {
    Heap,
    Map(MapData),
}

// SAFETY: the memory is owned by the region and reached through atomic words only.
unsafe impl<T> Send for Region<T> {}
// SAFETY: as for `Send`.
unsafe impl<T> Sync for Region<T> {}

impl<T> Region<T> {
    /// On the heap, in reach as a whole.
    pub(super) fn heap(name: &'static str, capacity: usize) -> Self {
        let layout = Self::layout(capacity);
        // SAFETY: no table has size 0.
        let base = unsafe { alloc_zeroed(layout) };
        if base.is_null() {
            handle_alloc_error(layout);
        }
        Self {
            base: base.cast(),
            capacity,
            reach: capacity,
            memory: Memory::Heap,
            name,
        }
    }

    /// Over a map of type array with `BPF_F_MMAPABLE`, whose values are `T`s. Nothing is in reach yet.
    pub(super) fn map(name: &'static str, map: MapData, capacity: usize) -> io::Result<Self> {
        let bytes = page_up(capacity * size_of::<T>());
        // SAFETY: reserves address space, touches nothing that exists.
        let base = unsafe {
            libc::mmap(
                null_mut(),
                bytes,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            base: base.cast(),
            capacity,
            reach: 0,
            memory: Memory::Map(map),
            name,
        })
    }

    fn layout(capacity: usize) -> Layout {
        let bytes = (capacity * size_of::<T>()).max(64);
        Layout::from_size_align(bytes, 64).unwrap_or(Layout::new::<[u64; 8]>())
    }

    /// How many records there are, in reach or not.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many records are in reach.
    pub(super) fn in_reach(&self) -> usize {
        self.reach
    }

    /// Maps at least the first `records`.
    pub(super) fn reach(&mut self, records: usize) -> Result<(), PlaneError> {
        let Memory::Map(map) = &self.memory else {
            return Ok(());
        };
        let wanted = page_up(records.min(self.capacity) * size_of::<T>());
        let done = page_up(self.reach * size_of::<T>());
        if records <= self.reach {
            return Ok(());
        }
        if wanted > done {
            // SAFETY: replaces a part of this region's own reservation that nothing has been read from yet.
            let got = unsafe {
                libc::mmap(
                    self.base.cast::<u8>().add(done).cast(),
                    wanted - done,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED | libc::MAP_FIXED,
                    map.fd().as_fd().as_raw_fd(),
                    libc::off_t::try_from(done).unwrap_or(libc::off_t::MAX),
                )
            };
            if got == libc::MAP_FAILED {
                return Err(PlaneError::Kernel {
                    table: self.name,
                    source: io::Error::last_os_error(),
                });
            }
        }
        self.reach = records.min(self.capacity);
        Ok(())
    }

    /// A record in reach.
    #[inline(always)]
    pub(super) fn at(&self, index: usize) -> *mut T {
        assert!(
            index < self.reach,
            "{} {index} of {}",
            self.name,
            self.reach
        );
        // SAFETY: inside the region, as just checked.
        unsafe { self.base.add(index) }
    }

    /// A record, or null if it is not in reach: for lookups.
    #[inline(always)]
    pub(super) fn peek(&self, index: u32) -> *mut T {
        if (index as usize) < self.reach {
            self.at(index as usize)
        } else {
            null_mut()
        }
    }
}

impl<T> Drop for Region<T> {
    fn drop(&mut self) {
        match self.memory {
            // SAFETY: allocated by `heap` with the same layout.
            Memory::Heap => unsafe { dealloc(self.base.cast(), Self::layout(self.capacity)) },
            Memory::Map(_) => {
                // SAFETY: the reservation that `map` made; no pointer into it outlives the region.
                unsafe { libc::munmap(self.base.cast(), page_up(self.capacity * size_of::<T>())) };
            }
        }
    }
}

fn page_up(bytes: usize) -> usize {
    // SAFETY: asks for a constant of the system.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    bytes.next_multiple_of(page)
}
