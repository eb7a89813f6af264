//! All tables, and the lookup's view of them from user space: the same lookup that the kernel runs, on the same
//! memory. The writers ask it nothing; tests ask it everything.

use std::sync::Arc;

use couic_ebpf::{
    Tables,
    layout::{
        BUSY_WORDS, Beat, CELLS, Cell, Config, Deadlines4, Entry6, Filter6, Head4, Hosts4, Line4,
        Line6, PREFILTER_WORDS, RuleCount, SHORTS, STALE_NS, Steps, TOPS, Top,
    },
};

use super::{
    PlaneError, Valve,
    region::{Region, read, write},
    sizes::Sizes,
};

/// The tables of one program.
#[derive(Debug)]
pub(super) struct Store {
    /// Shared with who holds the [`super::Valve`].
    pub(super) config: Arc<Region<Config>>,
    pub(super) beat: Region<Beat>,
    pub(super) busy4: Region<u64>,
    pub(super) prefilter4: Region<u64>,
    pub(super) head4: Region<Head4>,
    pub(super) top4: Region<Top>,
    pub(super) top6: Region<Top>,
    pub(super) version6: Region<u32>,
    pub(super) short4: Region<u64>,
    pub(super) short6: Region<u64>,
    pub(super) hosts4: Region<Hosts4>,
    pub(super) host_deadlines4: Region<Deadlines4>,
    pub(super) line4: Region<Line4>,
    pub(super) deadlines4: Region<Deadlines4>,
    pub(super) cell6: Region<Cell>,
    pub(super) steps6: Region<Steps>,
    pub(super) filter6: Region<Filter6>,
    pub(super) line6: Region<Line6>,
    pub(super) entry6: Region<Entry6>,
    pub(super) rule_counts: Region<RuleCount>,
    /// As in the config record.
    pub(super) seed: [u64; 3],
    /// As in the config record.
    pub(super) index_bits: u32,
}

/// Makes the region with a map's name, of so many records.
pub(super) trait Maker {
    /// Why it cannot.
    type Error;
    /// # Errors
    /// If there is no such map, or it cannot be mapped.
    fn region<T>(&mut self, name: &'static str, records: usize) -> Result<Region<T>, Self::Error>;
}

impl Store {
    /// The tables for `sizes`, empty, under `seed`.
    ///
    /// # Errors
    /// The maker's.
    pub(super) fn new<M: Maker>(
        maker: &mut M,
        sizes: Sizes,
        seed: [u64; 3],
    ) -> Result<Self, M::Error> {
        Ok(Self {
            config: Arc::new(maker.region(".bss.config", 1)?),
            beat: maker.region(".bss.beat", 1)?,
            busy4: maker.region(".bss.busy4", BUSY_WORDS as usize)?,
            prefilter4: maker.region(".bss.prefilter4", PREFILTER_WORDS as usize)?,
            head4: maker.region(".bss.head4", TOPS as usize)?,
            top4: maker.region(".bss.top4", TOPS as usize)?,
            top6: maker.region(".bss.top6", TOPS as usize)?,
            version6: maker.region(".bss.version6", TOPS as usize)?,
            short4: maker.region(".bss.short4", SHORTS as usize)?,
            short6: maker.region(".bss.short6", SHORTS as usize)?,
            cell6: maker.region(".bss.cell6", CELLS as usize)?,
            steps6: maker.region(".bss.steps6", 2)?,
            hosts4: maker.region("HOSTS4", sizes.hosts4)?,
            host_deadlines4: maker.region("HOST_ENDS4", sizes.hosts4)?,
            line4: maker.region("LINE4S", sizes.lines4)?,
            deadlines4: maker.region("DEADLINES4", sizes.lines4)?,
            filter6: maker.region("FILTER6", sizes.filters6)?,
            line6: maker.region("LINE6S", sizes.lines6)?,
            entry6: maker.region("ENTRY6", sizes.pool6)?,
            rule_counts: maker.region("RULE_COUNTS", sizes.rule_counts())?,
            seed,
            index_bits: sizes.index_bits(),
        })
    }

    /// Brings the part that every lookup reads into reach. It is not shared yet.
    pub(super) fn reach_basics(&mut self) -> Result<(), PlaneError> {
        if let Some(config) = Arc::get_mut(&mut self.config) {
            config.reach(1)?;
        }
        self.beat.reach(1)
    }

    /// Sets the sign of life: at `mono` nanoseconds it was `unix`.
    pub(super) fn beat(&self, mono: u64, unix: u64) {
        write!(self.beat, 0, unix => unix);
        write!(self.beat, 0, mono => mono);
        write!(self.beat, 0, seen => 0);
    }

    /// Whether a packet would take the daemon for dead now.
    pub(super) fn is_stale(&self) -> bool {
        monotonic().saturating_sub(read!(self.beat, 0, mono)) >= STALE_NS
    }
}

/// `CLOCK_MONOTONIC_COARSE` in nanoseconds: the clock that the program reads.
pub(super) fn monotonic() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes into `time`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

impl Valve for Region<Config> {
    fn set_open(&self, open: bool) {
        write!(self, 0, open => u32::from(open));
    }

    fn is_open(&self) -> bool {
        read!(self, 0, open) != 0
    }
}

impl Tables for Store {
    fn config(&self) -> *const Config {
        self.config.peek(0)
    }
    fn beat(&self) -> *mut Beat {
        self.beat.peek(0)
    }
    fn busy4(&self, word: u32) -> *const u64 {
        self.busy4.peek(word)
    }
    fn prefilter4(&self, word: u32) -> *const u64 {
        self.prefilter4.peek(word)
    }
    fn head4(&self, head: u32) -> *const Head4 {
        self.head4.peek(head)
    }
    fn version6(&self, head: u32) -> *const u32 {
        self.version6.peek(head)
    }
    fn hosts4(&self, line: u32) -> *const Hosts4 {
        self.hosts4.peek(line)
    }
    fn host_deadlines4(&self, line: u32) -> *const Deadlines4 {
        self.host_deadlines4.peek(line)
    }
    fn filter6(&self, line: u32) -> *const Filter6 {
        self.filter6.peek(line)
    }
    fn top4(&self, head: u32) -> *const Top {
        self.top4.peek(head)
    }
    fn top6(&self, head: u32) -> *const Top {
        self.top6.peek(head)
    }
    fn short4(&self, node: u32) -> *const u64 {
        self.short4.peek(node)
    }
    fn short6(&self, node: u32) -> *const u64 {
        self.short6.peek(node)
    }
    fn line4(&self, line: u32) -> *const Line4 {
        self.line4.peek(line)
    }
    fn deadlines4(&self, line: u32) -> *const Deadlines4 {
        self.deadlines4.peek(line)
    }
    fn cell6(&self, cell: u32) -> *const Cell {
        self.cell6.peek(cell)
    }
    fn steps6(&self, which: u32) -> *const Steps {
        self.steps6.peek(which)
    }
    fn line6(&self, line: u32) -> *const Line6 {
        self.line6.peek(line)
    }
    fn entry6(&self, index: u32) -> *const Entry6 {
        self.entry6.peek(index)
    }
    fn jiffies(&self) -> u64 {
        // Always long after the last look, so that user space asks the clock each time.
        1 << 40
    }
    fn mono(&self) -> u64 {
        monotonic()
    }
}
