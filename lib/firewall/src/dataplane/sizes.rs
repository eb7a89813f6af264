//! The sizes of the tables for given limits, and their memory.
//!
//! Memory is taken when the program is loaded, once: after that no system call is needed that wants privileges. The
//! kernel holds it whether it is used or not; the daemon maps the used part.

use couic_ebpf::layout::{self, LINE, MAX_POOL, MIN_FILTERS, MIN_HOSTS, MIN_LINES};

use super::Limits;

/// How full a bucket table gets. At 65 % some 17 % of its lines are full (simulated), so a rule finds all of its 16
/// ([`layout::LINES_TRIED`]) lines full with a chance of 0.17^16, 5 in 10^13; a random seed keeps it out of an attacker's hands.
pub(super) const FULL_PERCENT: usize = 65;

/// Rules of /48 and longer that a line of the IPv6 filter is for: 512 bits, at most four a rule.
pub(super) const RULES_PER_FILTER: usize = 32;

/// The last line of a table: as its size is a power of two, the mask of a line's number too.
pub(super) fn last(lines: usize) -> u32 {
    u32::try_from(lines - 1).unwrap_or(u32::MAX)
}

/// Records per table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Lines of the table of IPv4 hosts, a power of two.
    pub(super) hosts4: usize,
    /// Lines of the IPv4 bucket table, a power of two.
    pub(super) lines4: usize,
    /// Lines of the IPv6 filter, a power of two.
    pub(super) filters6: usize,
    /// Lines of the IPv6 bucket table, a power of two.
    pub(super) lines6: usize,
    /// IPv6 entries, the unused one at index 0 included.
    pub(super) pool6: usize,
    /// CPUs that may count.
    pub(super) cpus: usize,
    /// Whether rules are counted one by one.
    pub(super) rule_counters: bool,
}

/// More rules than the tables can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "[limits] asks for {asked} entries a family (drop, ignore and room for reloads together); the data plane can hold {most}: lower drop_entries or ignore_entries"
)]
pub struct TooManyRules {
    /// Drop and ignore together.
    pub asked: usize,
    /// The most that is possible.
    pub most: usize,
}

impl Limits {
    /// Whether tables can be made for these, headroom for a reload included.
    ///
    /// # Errors
    /// [`TooManyRules`].
    pub fn check(self) -> Result<(), TooManyRules> {
        Sizes::of(self.with_reload_headroom(), 1, false).map(|_| ())
    }
}

impl Sizes {
    /// # Errors
    /// If the tables could not hold so many.
    pub(super) fn of(
        limits: Limits,
        cpus: usize,
        rule_counters: bool,
    ) -> Result<Self, TooManyRules> {
        let asked = limits.drop_entries.saturating_add(limits.ignore_entries);
        let most = MAX_POOL as usize - 1;
        if asked > most {
            return Err(TooManyRules { asked, most });
        }
        let lines = (asked * 100).div_ceil(FULL_PERCENT * LINE);
        let lines = lines.next_power_of_two().max(MIN_LINES as usize);
        let filters = asked.div_ceil(RULES_PER_FILTER).next_power_of_two();
        Ok(Self {
            hosts4: lines.max(MIN_HOSTS as usize),
            lines4: lines,
            filters6: filters.max(MIN_FILTERS as usize),
            lines6: lines,
            pool6: asked + 1,
            cpus: cpus.max(1),
            rule_counters,
        })
    }

    /// Bits that an index of the pool needs.
    pub(super) fn index_bits(self) -> u32 {
        usize::BITS - self.pool6.leading_zeros()
    }

    /// Bytes of tables for IPv4, and for IPv6.
    pub(super) fn bytes(self) -> (usize, usize) {
        let heads = layout::TOPS as usize * size_of::<layout::Top>() + layout::SHORTS as usize * 8;
        let line4 = size_of::<layout::Line4>() + size_of::<layout::Deadlines4>();
        let hosts4 = size_of::<layout::Hosts4>() + size_of::<layout::Deadlines4>();
        let v4 = heads
            + layout::TOPS as usize * size_of::<layout::Head4>()
            + (layout::PREFILTER_WORDS + layout::BUSY_WORDS) as usize * 8
            + self.hosts4 * hosts4
            + self.lines4 * line4;
        let v6 = heads
            + layout::TOPS as usize * size_of::<u32>()
            + layout::CELLS as usize * size_of::<layout::Cell>()
            + 2 * size_of::<layout::Steps>()
            + self.filters6 * size_of::<layout::Filter6>()
            + self.lines6 * size_of::<layout::Line6>()
            + self.pool6 * size_of::<layout::Entry6>();
        (v4, v6)
    }

    /// Bytes of counters.
    pub(super) fn counter_bytes(self) -> usize {
        self.cpus * layout::CODES as usize * size_of::<layout::Count>()
            + self.rule_counts() * size_of::<layout::RuleCount>()
    }

    /// The offsets of the IPv4 bucket table, the IPv6 pool and the two trees among the records of rules; those of IPv4
    /// hosts begin at 0.
    pub(super) fn rule_bases(self) -> [usize; 4] {
        let line4 = self.hosts4 * LINE;
        let pool6 = line4 + self.lines4 * LINE;
        let short4 = pool6 + self.pool6;
        [line4, pool6, short4, short4 + layout::SHORTS as usize]
    }

    /// Records of single rules: one if they are not counted.
    pub(super) fn rule_counts(self) -> usize {
        if self.rule_counters {
            self.rule_bases()[3] + layout::SHORTS as usize
        } else {
            1
        }
    }
}
