//! The tables of a program as the kernel makes them: checked, replaced by mappable ones if necessary, and mapped.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use aya::{
    Ebpf,
    maps::{Map, MapError},
};

use super::{program::LoadError, region::Region, store::Maker};

/// The maps of a program that is not loaded yet.
pub(super) struct Maps<'a>(pub(super) &'a mut Ebpf);

impl Maker for Maps<'_> {
    type Error = LoadError;

    fn region<T>(&mut self, name: &'static str, records: usize) -> Result<Region<T>, LoadError> {
        let bad = |text: String| LoadError::Map {
            name,
            source: io::Error::other(text),
        };
        let Some(Map::Array(map)) = self.0.take_map(name) else {
            return Err(bad("the program has no such array".to_owned()));
        };
        let info = map
            .info()
            .map_err(|error: MapError| bad(error.to_string()))?;
        let (size, count) = (info.value_size() as usize, info.max_entries() as usize);
        let fixed = name.starts_with(FIXED);
        let fits = if fixed {
            size == records * size_of::<T>()
        } else {
            size == size_of::<T>() && count >= records
        };
        if !fits {
            return Err(bad(format!(
                "{count} records of {size} bytes, wanted {records} of {}",
                size_of::<T>()
            )));
        }
        if fixed {
            make_mappable(map.fd().as_fd(), name, size)
                .map_err(|source| LoadError::Map { name, source })?;
        }
        Region::map(name, map, records).map_err(|source| LoadError::Map { name, source })
    }
}

/// How the sections begin that hold tables of a fixed size.
const FIXED: &str = ".bss";

/// Replaces an array that aya made without `BPF_F_MMAPABLE`, as it does for every section of data, by a mappable one of
/// the same shape. It keeps the descriptor number, to which the instructions of programs that are not loaded yet refer.
fn make_mappable(map: BorrowedFd<'_>, name: &str, bytes: usize) -> io::Result<()> {
    const BPF_MAP_CREATE: libc::c_int = 0;
    const BPF_MAP_TYPE_ARRAY: u32 = 2;
    const BPF_F_MMAPABLE: u32 = 1 << 10;
    let bytes = u32::try_from(bytes).map_err(io::Error::other)?;
    // The head of union bpf_attr: map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node and
    // 16 bytes of name.
    let mut attr = [0u32; 16];
    attr[..5].copy_from_slice(&[BPF_MAP_TYPE_ARRAY, 4, bytes, 1, BPF_F_MMAPABLE]);
    for (at, byte) in name
        .trim_start_matches(FIXED)
        .bytes()
        .skip(1)
        .take(15)
        .enumerate()
    {
        attr[7 + at / 4] |= u32::from(byte) << (8 * (at % 4));
    }
    // SAFETY: reads `attr`, whose size is given; rest of the union is taken as zero.
    let made = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_CREATE,
            attr.as_ptr(),
            size_of_val(&attr),
        )
    };
    let Ok(made @ 0..) = libc::c_int::try_from(made) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the kernel just returned this descriptor, and nothing else owns it.
    let made = unsafe { OwnedFd::from_raw_fd(made) };
    // SAFETY: replaces one open descriptor by another; its owner keeps owning it.
    let done = unsafe { libc::dup3(made.as_raw_fd(), map.as_raw_fd(), libc::O_CLOEXEC) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Three random words.
pub(super) fn seed() -> io::Result<[u64; 3]> {
    let mut bytes = [0; 24];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut seed = [0; 3];
    for (word, bytes) in seed.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    Ok(seed)
}
