//! Loads the programs: the kernel makes the tables and verifies the code, the daemon maps the tables. Nothing is
//! attached here.
//!
//! All programs share the tables. The place of each is its [`Role`]; programs that this kernel has no hook for are left
//! out.
//!
//! From Linux 5.18 on the program takes frames in several buffers, on older kernels a second entry without that is
//! loaded. Other dependencies on the kernel are in [`features`].

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use aya::{
    Ebpf, EbpfLoader, include_bytes_aligned,
    programs::{Program, ProgramError, SchedClassifier, Xdp},
};
use couic_ebpf::layout::CODES;
use serde::{Deserialize, Serialize};

use super::{
    Counters, Limits, Plane, PlaneError,
    counters::MappedCounters,
    features,
    maps::{Maps, seed},
    refusal::Refusal,
    sizes::{Sizes, TooManyRules},
    store::{Maker as _, Store},
    tables::TablePlane,
};

pub(super) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/couic-xdp"));
/// For CPUs that reorder loads.
pub(super) static ORDERED: &[u8] =
    include_bytes_aligned!(concat!(env!("OUT_DIR"), "/couic-xdp-ordered"));

/// For Ethernet: frames in several buffers, and the fallback for kernels before 5.18.
const ETHERNET: [&str; 2] = ["couic", "couic_single"];
/// For packets without an Ethernet header.
const IP: &str = "couic_ip";
/// For TCX.
const TCX: &str = "couic_tcx";
/// The names under which the kernel lists the programs of a Couic.
pub const ENTRIES: [&str; 4] = [ETHERNET[0], ETHERNET[1], IP, TCX];

/// The role of a program: its hook, and the header that its packets begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// XDP, if frames have an Ethernet header.
    Ethernet,
    /// Generic XDP, if packets begin with the IP header.
    Ip,
    /// TCX, if the kernel reports the place of the IP header.
    Tcx,
}

/// The program is in the kernel and its tables are empty.
pub struct Loaded {
    /// Writes rules.
    pub plane: Box<dyn Plane>,
    /// Reads figures.
    pub counters: Arc<dyn Counters>,
    /// To be attached when the rules are in.
    pub program: XdpProgram,
}

/// The verified programs; that for Ethernet is always among them. Unloaded when dropped.
#[derive(Debug)]
pub struct XdpProgram {
    ebpf: Ebpf,
    ethernet: Verified,
    others: Vec<Verified>,
}

/// One of them.
#[derive(Debug)]
struct Verified {
    role: Role,
    entry: &'static str,
    id: u32,
    instructions: Option<u32>,
}

/// Why the program is not in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The build left the XDP program out.
    #[error(
        "this build has no XDP program (COUIC_SKIP_BPF=1 was set when it was built): build it without, which takes bpf-linker (make setup)"
    )]
    NotBuilt,
    /// The limits are too high.
    #[error(transparent)]
    Limits(#[from] TooManyRules),
    /// The kernel refused maps or BTF.
    #[error(
        "the kernel refused the tables of the XDP program (they take memory for what [limits] asks; before Linux 5.11 it counts against RLIMIT_MEMLOCK: set LimitMEMLOCK=infinity in the unit): {0}"
    )]
    Object(#[from] aya::EbpfError),
    /// The kernel refused the code.
    #[error(transparent)]
    Program(#[from] Refusal),
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
    let object = if features::ordered_loads() {
        ORDERED
    } else {
        OBJECT
    };
    if object.is_empty() {
        return Err(LoadError::NotBuilt);
    }
    let (mut ebpf, plane, counters) = open(object, limits, rule_counters)?;
    let ethernet = verify_ethernet(&mut ebpf)?;
    let mut others = vec![verify(&mut ebpf, Role::Ip, IP)?];
    if features::tcx() {
        others.push(verify(&mut ebpf, Role::Tcx, TCX)?);
    }
    let program = XdpProgram {
        ebpf,
        ethernet,
        others,
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
        .override_global("COARSE_CLOCK", &u32::from(features::coarse_clock()), true)
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

/// Tries the entries in turn: the first that the kernel takes.
fn verify_ethernet(ebpf: &mut Ebpf) -> Result<Verified, LoadError> {
    let mut refused = Refusal::from(ProgramError::NotLoaded);
    for entry in ETHERNET {
        match verify(ebpf, Role::Ethernet, entry) {
            Ok(verified) => return Ok(verified),
            Err(error) => {
                refused = error;
                tracing::debug!("entry {entry}: {refused}");
            }
        }
    }
    Err(refused.into())
}

fn verify(ebpf: &mut Ebpf, role: Role, entry: &'static str) -> Result<Verified, Refusal> {
    let program = ebpf.program_mut(entry).ok_or(ProgramError::NotLoaded)?;
    match role {
        Role::Ethernet | Role::Ip => <&mut Xdp>::try_from(&mut *program)?.load()?,
        Role::Tcx => <&mut SchedClassifier>::try_from(&mut *program)?.load()?,
    }
    let info = program.info()?;
    Ok(Verified {
        role,
        entry,
        id: info.id(),
        instructions: info.verified_instruction_count(),
    })
}

fn loaded<'a>(ebpf: &'a Ebpf, entry: &str) -> Result<BorrowedFd<'a>, ProgramError> {
    let program = ebpf.program(entry).ok_or(ProgramError::NotLoaded)?;
    Ok(match program {
        Program::SchedClassifier(program) => program.fd()?.as_fd(),
        other => <&Xdp>::try_from(other)?.fd()?.as_fd(),
    })
}

impl XdpProgram {
    /// Instructions that the verifier walked in the program for Ethernet; the kernel tells from 5.16 on.
    #[must_use]
    pub fn verified_instructions(&self) -> Option<u32> {
        self.ethernet.instructions
    }

    /// The same of each program that this kernel took.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, Option<u32>)> {
        self.all().map(|v| (v.entry, v.instructions))
    }

    /// The features that this kernel lacks, a sentence each. To be asked before privileges are given up.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let has_tcx = self.all().any(|v| v.role == Role::Tcx);
        features::missing(self.ethernet.entry, has_tcx)
    }

    /// The kernel's number for the program for Ethernet, as in `bpftool prog`.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.ethernet.id
    }

    /// The programs, for the attaching process: roles, the kernel's numbers, and descriptors.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn descriptors(&self) -> io::Result<Vec<(Role, u32, OwnedFd)>> {
        let descriptor = |one: &Verified| {
            let fd = loaded(&self.ebpf, one.entry).map_err(io::Error::other)?;
            Ok((one.role, one.id, fd.try_clone_to_owned()?))
        };
        self.all().map(descriptor).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Verified> {
        std::iter::once(&self.ethernet).chain(&self.others)
    }

    /// The program for Ethernet itself, for test runs.
    ///
    /// # Errors
    /// If it is not an XDP program, which cannot be.
    pub fn xdp(&mut self) -> Result<&mut Xdp, ProgramError> {
        self.ebpf
            .program_mut(self.ethernet.entry)
            .ok_or(ProgramError::NotLoaded)?
            .try_into()
    }
}
