//! Counters of single rules, if the configuration asks for them: one record a slot, added to by packets of all CPUs,
//! begun at zero by the writers when a rule comes, and moved along when a table doubles.
//!
//! A packet that meets a table while it doubles may count at the old place: such a hit can be lost.

use couic_ebpf::layout::LINE;

use super::{
    PlaneError, RuleUsage,
    region::{read, write},
    sizes::Sizes,
    store::Store,
};

/// The offset of each table's records, as in `layout::Config::rule_bases`; None if nothing is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct RuleCounts {
    bases: Option<[usize; 4]>,
}

/// A rule's record: a table and the number of the slot in it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Host(usize),
    Line4(usize),
    Pool6(usize),
    Short4(usize),
    Short6(usize),
}

/// The number of a slot in a line.
pub(super) fn number(line: usize, slot: usize) -> usize {
    line * LINE + slot
}

impl RuleCounts {
    /// Brings the records into reach and tells packets their place.
    pub(super) fn new(store: &mut Store, sizes: Sizes) -> Result<Self, PlaneError> {
        if !sizes.rule_counters {
            return Ok(Self { bases: None });
        }
        store.rule_counts.reach(store.rule_counts.capacity())?;
        let bases = sizes.rule_bases();
        for (at, base) in bases.into_iter().enumerate() {
            write!(store.config, 0, rule_bases[at] => u32::try_from(base).unwrap_or(u32::MAX));
        }
        Ok(Self { bases: Some(bases) })
    }

    /// Whether anything is counted.
    pub(super) const fn is_on(self) -> bool {
        self.bases.is_some()
    }

    fn at(self, slot: Slot) -> Option<usize> {
        let [line4, pool6, short4, short6] = self.bases?;
        Some(match slot {
            Slot::Host(n) => n,
            Slot::Line4(n) => line4 + n,
            Slot::Pool6(n) => pool6 + n,
            Slot::Short4(n) => short4 + n,
            Slot::Short6(n) => short6 + n,
        })
    }

    /// Begins at zero.
    pub(super) fn begin(self, store: &Store, slot: Slot) {
        if let Some(at) = self.at(slot) {
            write!(store.rule_counts, at, hits => 0);
            write!(store.rule_counts, at, seen => 0);
        }
    }

    /// Moves the counters at `from` to `to`.
    pub(super) fn carry(self, store: &Store, from: Slot, to: Slot) {
        if let (Some(from), Some(to)) = (self.at(from), self.at(to)) {
            write!(store.rule_counts, to, hits => read!(store.rule_counts, from, hits));
            write!(store.rule_counts, to, seen => read!(store.rule_counts, from, seen));
        }
    }

    /// The counters.
    pub(super) fn read(self, store: &Store, slot: Slot) -> Option<RuleUsage> {
        self.at(slot).map(|at| RuleUsage {
            hits: read!(store.rule_counts, at, hits),
            last_seen: read!(store.rule_counts, at, seen),
        })
    }
}
