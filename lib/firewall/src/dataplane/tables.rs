//! The data plane proper: [`Plane`] over mapped tables.

use std::{net::IpAddr, sync::Arc};

use couic_common::{Cidr, Policy, RuleKey, unix_seconds};
use couic_ebpf::layout::Config;

use super::{
    Limits, Plane, PlaneError, PlaneRule, RuleUsage, TagSlot, Valve, inspect,
    region::{Region, write},
    rule_counts::RuleCounts,
    sizes::{Sizes, TooManyRules},
    store::{Maker, Store, monotonic},
    v4::V4,
    v6::V6,
};

/// Rules in tables that packets read. A change is in force when the call returns.
#[derive(Debug)]
pub struct TablePlane {
    store: Store,
    v4: V4,
    v6: V6,
    counts: RuleCounts,
}

/// The damaged part.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Corruption {
    /// A host's slot is empty.
    Host4,
    /// A slot holds a host that was never added.
    Spurious4,
    /// The prefilter says that there are no rules.
    Prefilter4,
    /// The first IPv6 rule has another address.
    Pool6,
}

struct Heap;

impl Maker for Heap {
    type Error = std::convert::Infallible;

    fn region<T>(&mut self, name: &'static str, records: usize) -> Result<Region<T>, Self::Error> {
        Ok(Region::heap(name, records))
    }
}

impl TablePlane {
    /// Takes over tables that are empty, and says that a daemon lives.
    pub(super) fn over(mut store: Store, sizes: Sizes) -> Result<Self, PlaneError> {
        store.reach_basics()?;
        for (at, seed) in store.seed.into_iter().enumerate() {
            write!(store.config, 0, seed[at] => seed);
        }
        store.beat(monotonic(), unix_seconds());
        let counts = RuleCounts::new(&mut store, sizes)?;
        let v4 = V4::new(&mut store, counts)?;
        let v6 = V6::new(&mut store, counts)?;
        Ok(Self {
            store,
            v4,
            v6,
            counts,
        })
    }

    /// Tables on the heap, without a kernel: for tests and measurements of the writers.
    ///
    /// # Errors
    /// [`TooManyRules`].
    pub fn on_heap(limits: Limits, seed: [u64; 3]) -> Result<Self, TooManyRules> {
        let sizes = Sizes::of(limits, 1, true)?;
        let Ok(store) = Store::new(&mut Heap, sizes, seed);
        // Heap memory is in reach from the start, so nothing can fail.
        Self::over(store, sizes).map_err(|_| TooManyRules { asked: 0, most: 0 })
    }

    /// The verdict code of the program for a source, computed by the same lookup on the same memory: see
    /// `couic_ebpf::layout`.
    #[must_use]
    pub fn verdict(&self, source: IpAddr) -> u32 {
        use couic_ebpf::{layout::CODE_PASS, lookup};
        if lookup::is_open(&self.store) {
            return CODE_PASS;
        }
        self.look_up(source)
    }

    /// The same, whether everything passes or not.
    fn look_up(&self, source: IpAddr) -> u32 {
        use couic_ebpf::{layout::CODE_PASS, lookup};
        match source {
            IpAddr::V4(a) => {
                let a = a.to_bits();
                if lookup::flagged4(&self.store, a) {
                    lookup::lookup4(&self.store, a)
                } else {
                    CODE_PASS
                }
            }
            IpAddr::V6(a) => {
                #[expect(clippy::cast_possible_truncation, reason = "the two halves are wanted")]
                let (hi, lo) = ((a.to_bits() >> 64) as u64, a.to_bits() as u64);
                let known = self.store.top6.in_reach() != 0;
                if known && lookup::flagged6(&self.store, hi) {
                    lookup::lookup6(&self.store, hi, lo)
                } else {
                    CODE_PASS
                }
            }
        }
    }

    /// Makes packets believe that the last sign of life was `seconds` ago, when it was `unix`: for tests.
    pub fn backdate_heartbeat(&mut self, seconds: u64, unix: u64) {
        self.store
            .beat(monotonic().saturating_sub(seconds * 1_000_000_000), unix);
    }

    /// Overwrites the words by which packets find a rule: for tests of the self-check.
    ///
    /// # Panics
    /// If there is no such rule of the kind that the test asks for.
    #[cfg(test)]
    pub(crate) fn corrupt(&mut self, kind: Corruption) {
        use super::region::{read, write};
        let s = &self.store;
        match kind {
            Corruption::Host4 => {
                let line = (0..s.hosts4.in_reach()).find(|n| read!(s.hosts4, *n, slots[0]) != 0);
                write!(s.hosts4, line.unwrap(), slots[0] => 0);
            }
            Corruption::Spurious4 => {
                let free = (0..s.hosts4.in_reach()).find(|n| read!(s.hosts4, *n, slots[0]) == 0);
                let value = 0x8000_0000 | couic_ebpf::layout::VALID;
                write!(s.hosts4, free.unwrap(), slots[0] => value);
            }
            Corruption::Prefilter4 => {
                for word in 0..s.prefilter4.in_reach() {
                    write!(s.prefilter4, word => 0);
                }
            }
            Corruption::Pool6 => write!(s.entry6, 1, lo => !read!(s.entry6, 1, lo)),
        }
    }

    /// Words that are not zero in the tables of packets: for tests of removals, which must leave none.
    #[cfg(test)]
    pub(super) fn residue(&self) -> usize {
        use super::region::read;
        let s = &self.store;
        let mut left = 0;
        for at in 0..s.prefilter4.in_reach() {
            left += usize::from(read!(s.prefilter4, at) != 0);
        }
        for at in 0..s.busy4.in_reach() {
            left += usize::from(read!(s.busy4, at) != 0);
        }
        for at in 0..s.top4.in_reach() {
            left += usize::from(read!(s.head4, at) & u64::from(u32::MAX) != 0)
                + usize::from(read!(s.top4, at) != 0)
                + usize::from(read!(s.top6, at) != 0);
            left += usize::from(read!(s.cell6, at, mask) != 0)
                + usize::from(read!(s.cell6, at, marks) != 0);
        }
        for at in 0..s.hosts4.in_reach() {
            for slot in 0..couic_ebpf::layout::LINE {
                left += usize::from(read!(s.hosts4, at, slots[slot]) != 0);
            }
        }
        for at in 0..s.filter6.in_reach() {
            for word in 0..couic_ebpf::layout::FILTER_WORDS {
                left += usize::from(read!(s.filter6, at, words[word]) != 0);
            }
        }
        for at in 0..s.short4.in_reach() {
            left += usize::from(read!(s.short4, at) != 0) + usize::from(read!(s.short6, at) != 0);
        }
        for at in 0..s.line4.in_reach() {
            for slot in 0..couic_ebpf::layout::LINE {
                left += usize::from(read!(s.line4, at, slots[slot]) != 0);
                left += usize::from(read!(s.line6, at, lanes[slot]) != 0);
            }
        }
        left
    }

    /// Whether packets take the daemon for dead.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.store.is_stale()
    }
}

impl Plane for TablePlane {
    fn put(&mut self, key: RuleKey, rule: PlaneRule) -> Result<(), PlaneError> {
        match key.cidr {
            Cidr::V4(net) => self.v4.put(&mut self.store, key.policy, net, rule),
            Cidr::V6(net) => self.v6.put(&mut self.store, key.policy, net, rule),
        }
    }

    fn remove(&mut self, key: RuleKey) -> Result<(), PlaneError> {
        match key.cidr {
            Cidr::V4(net) => self.v4.remove(&self.store, key.policy, net),
            Cidr::V6(net) => self.v6.remove(&self.store, key.policy, net),
        }
        Ok(())
    }

    fn heartbeat(&mut self, now: u64) {
        self.store.beat(monotonic(), now);
    }

    fn held(&self, key: RuleKey) -> Option<PlaneRule> {
        let held = match key.cidr {
            Cidr::V4(net) => self.v4.held(&self.store, key.policy, net),
            Cidr::V6(net) => self.v6.held(&self.store, key.policy, net),
        };
        held.map(inspect::rule)
    }

    fn decides(&self, source: IpAddr) -> Option<(Policy, TagSlot)> {
        inspect::decided(self.look_up(source))
    }

    fn erase(&mut self, key: RuleKey) {
        match key.cidr {
            Cidr::V4(net) => self.v4.erase(&self.store, key.policy, net),
            Cidr::V6(net) => self.v6.erase(&self.store, key.policy, net),
        }
    }

    fn walk(&self, from: usize, places: usize, show: &mut dyn FnMut(RuleKey)) -> Option<usize> {
        let (v4, v6) = (self.v4.places(&self.store), self.v6.places(&self.store));
        let tables = v4.into_iter().map(|n| (false, n));
        let tables = tables.chain(v6.into_iter().map(|n| (true, n)));
        let end = from.saturating_add(places);
        let mut base = 0;
        for (nth, (is_v6, size)) in tables.enumerate() {
            let inside = from.max(base)..end.min(base + size);
            for place in inside.map(|place| place - base) {
                let found = if is_v6 {
                    self.v6.at(&self.store, nth - v4.len(), place)
                } else {
                    self.v4.at(&self.store, nth, place)
                };
                if let Some(key) = found {
                    show(key);
                }
            }
            base += size;
        }
        (end < base).then_some(end)
    }

    fn valve(&self) -> Arc<dyn Valve> {
        Arc::<Region<Config>>::clone(&self.store.config)
    }

    fn usage(&self, key: RuleKey) -> Option<RuleUsage> {
        // Called for every entry of a list: without counters the lookup is skipped.
        if !self.counts.is_on() {
            return None;
        }
        match key.cidr {
            Cidr::V4(net) => self.v4.usage(&self.store, key.policy, net),
            Cidr::V6(net) => self.v6.usage(&self.store, key.policy, net),
        }
    }
}
