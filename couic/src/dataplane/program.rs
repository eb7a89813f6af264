//! Loads the XDP program: the kernel makes the tables and verifies the code, the daemon maps the tables. Nothing is
//! attached here.
//!
//! Needs Linux 5.11 (`bpf_ktime_get_coarse_ns`); from 5.18 on the program takes frames in several buffers, on older
//! kernels a second entry without that is loaded.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    sync::Arc,
};

use aya::{
    Ebpf, EbpfLoader, include_bytes_aligned,
    maps::{Map, MapError},
    programs::{ProgramError, Xdp},
};
use couic_ebpf::layout::CODES;

use super::{
    Counters, Limits, Plane, PlaneError,
    counters::MappedCounters,
    region::Region,
    sizes::{Sizes, TooManyRules},
    store::{Maker, Store},
    tables::TablePlane,
};

pub(super) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/couic-xdp"));

/// For frames in several buffers, and the fallback for kernels before 5.18.
pub(crate) const ENTRIES: [&str; 2] = ["couic", "couic_single"];

/// The program is in the kernel and its tables are empty.
pub struct Loaded {
    /// Writes rules.
    pub plane: Box<dyn Plane>,
    /// Reads figures.
    pub counters: Arc<dyn Counters>,
    /// To be attached when the rules are in.
    pub program: XdpProgram,
}

/// A verified program. Unloaded when dropped.
#[derive(Debug)]
pub struct XdpProgram {
    pub(super) ebpf: Ebpf,
    pub(super) entry: &'static str,
    pub(super) id: u32,
    instructions: Option<u32>,
}

/// Why the program is not in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The limits are too high.
    #[error(transparent)]
    Limits(#[from] TooManyRules),
    /// The kernel refused maps or BTF.
    #[error(
        "the kernel refused the tables of the XDP program (Couic needs Linux 5.11, CAP_BPF and CAP_NET_ADMIN, and memory for what [limits] asks): {0}"
    )]
    Object(#[from] aya::EbpfError),
    /// The verifier refused the code.
    #[error("the kernel refused the XDP program: {0}")]
    Program(#[from] ProgramError),
    /// A table of the program cannot be used.
    #[error("the table {name} of the XDP program cannot be mapped: {source}")]
    Map {
        /// Which.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A table cannot be brought into reach.
    #[error("the tables cannot be mapped: {0}")]
    Tables(#[from] PlaneError),
    /// No random numbers.
    #[error("no random seed from /dev/urandom: {0}")]
    Seed(io::Error),
    /// The number of CPUs is unknown.
    #[error("cannot read {0}: {1}")]
    Cpus(&'static str, io::Error),
}

/// Loads the program with tables for `limits`: verifies and maps, attaches nothing. With `rule_counters`, each rule's
/// hits are counted ([`Plane::usage`]); every packet that a rule decides about pays for that.
///
/// # Errors
/// [`LoadError`]; nothing of it stays in the kernel then.
pub fn load(limits: Limits, rule_counters: bool) -> Result<Loaded, LoadError> {
    let (plane, counters, program) = load_tables(limits, rule_counters)?;
    Ok(Loaded {
        plane: Box::new(plane),
        counters: Arc::new(counters),
        program,
    })
}

/// [`load`], for who wants the real types.
///
/// # Errors
/// As [`load`].
pub fn load_tables(
    limits: Limits,
    rule_counters: bool,
) -> Result<(TablePlane, MappedCounters, XdpProgram), LoadError> {
    let (mut ebpf, plane, counters) = open(OBJECT, limits, rule_counters)?;
    let (entry, id, instructions) = verify(&mut ebpf)?;
    let program = XdpProgram {
        ebpf,
        entry,
        id,
        instructions,
    };
    Ok((plane, counters, program))
}

/// Loads an object with Couic's tables, sized for `limits`, and maps them; its programs are not verified yet.
///
/// # Errors
/// [`LoadError`].
pub fn open(
    object: &[u8],
    limits: Limits,
    rule_counters: bool,
) -> Result<(Ebpf, TablePlane, MappedCounters), LoadError> {
    let cpus = aya::util::nr_cpus().map_err(|(path, source)| LoadError::Cpus(path, source))?;
    let sizes = Sizes::of(limits, cpus, rule_counters)?;
    let entries = |records: usize| u32::try_from(records).unwrap_or(u32::MAX);
    let mut ebpf = EbpfLoader::new()
        // The program reads no kernel structure, so the kernel's BTF has nothing to relocate.
        .btf(None)
        .map_max_entries("HOSTS4", entries(sizes.hosts4))
        .map_max_entries("HOST_ENDS4", entries(sizes.hosts4))
        .map_max_entries("FILTER6", entries(sizes.filters6))
        .map_max_entries("LINE4S", entries(sizes.lines4))
        .map_max_entries("DEADLINES4", entries(sizes.lines4))
        .map_max_entries("LINE6S", entries(sizes.lines6))
        .map_max_entries("ENTRY6", entries(sizes.pool6))
        .map_max_entries("COUNTS", entries(cpus) * CODES)
        .map_max_entries("RULE_COUNTS", entries(sizes.rule_counts()))
        .override_global("COUNT_RULES", &u32::from(rule_counters), true)
        .load(object)?;
    let mut maps = Maps(&mut ebpf);
    let store = Store::new(&mut maps, sizes, seed().map_err(LoadError::Seed)?)?;
    let mut counts = maps.region("COUNTS", cpus * CODES as usize)?;
    counts.reach(counts.capacity())?;
    let (v4, v6) = sizes.bytes();
    tracing::info!(
        "tables for {} drop and {} ignore entries a family: {} MiB for IPv4, {} MiB for IPv6, {} MiB of counters",
        limits.drop_entries,
        limits.ignore_entries,
        v4.div_ceil(1 << 20),
        v6.div_ceil(1 << 20),
        sizes.counter_bytes().div_ceil(1 << 20),
    );
    Ok((
        ebpf,
        TablePlane::over(store, sizes)?,
        MappedCounters::new(counts, cpus),
    ))
}

/// Tries the entries in turn: name, id and verified instructions of the first that the kernel takes.
fn verify(ebpf: &mut Ebpf) -> Result<(&'static str, u32, Option<u32>), LoadError> {
    let mut refused = ProgramError::NotLoaded;
    for entry in ENTRIES {
        let Some(program) = ebpf.program_mut(entry) else {
            continue;
        };
        let program: &mut Xdp = program.try_into()?;
        match program.load() {
            Ok(()) => {
                let info = program.info()?;
                return Ok((entry, info.id(), info.verified_instruction_count()));
            }
            Err(error) => {
                tracing::debug!("the kernel refused the entry {entry}: {error}");
                refused = error;
            }
        }
    }
    Err(refused.into())
}

impl XdpProgram {
    /// Instructions that the verifier walked; the kernel tells from 5.16 on.
    #[must_use]
    pub fn verified_instructions(&self) -> Option<u32> {
        self.instructions
    }

    /// The kernel's number for the program, as in `bpftool prog`.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// A descriptor of the program, for who attaches it.
    ///
    /// # Errors
    /// Where there are no descriptors left.
    pub fn descriptor(&mut self) -> io::Result<OwnedFd> {
        let program = self.xdp().map_err(io::Error::other)?;
        let fd = program.fd().map_err(io::Error::other)?;
        fd.as_fd().try_clone_to_owned()
    }

    /// The program itself, for test runs.
    ///
    /// # Errors
    /// Where it is not an XDP program, which cannot be.
    pub fn xdp(&mut self) -> Result<&mut Xdp, ProgramError> {
        self.ebpf
            .program_mut(self.entry)
            .ok_or(ProgramError::NotLoaded)?
            .try_into()
    }
}

struct Maps<'a>(&'a mut Ebpf);

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

/// Puts an array that can be mapped where aya made one of the same shape without `BPF_F_MMAPABLE`, as it does for
/// every section of data: behind the same descriptor number, which is what the instructions of programs that are not
/// loaded yet refer to.
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
    // SAFETY: the kernel just gave this descriptor, nobody else has it.
    let made = unsafe { OwnedFd::from_raw_fd(made) };
    // SAFETY: replaces one open descriptor by another; its owner keeps owning it.
    let done = unsafe { libc::dup3(made.as_raw_fd(), map.as_raw_fd(), libc::O_CLOEXEC) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Three random words.
fn seed() -> io::Result<[u64; 3]> {
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
