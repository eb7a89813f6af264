//! Writes IPv6 rules into the tables. The order of stores keeps packets from half states: the entry, the steps, the
//! head's word, the cell's mask, the version of the head (up to /31) or of the cell (from /32 on).

use couic_common::{Policy, RuleKey, V6Net};

use super::{
    PlaneError, PlaneRule, RuleUsage,
    cells6::Cells6,
    filter6::Filter6,
    inspect,
    rule_counts::RuleCounts,
    store::Store,
    table6::{Key6, Table6},
    tops::{Tops, deadline, number, tag},
};

/// The bit in a head's word that stands for /32 and longer.
const LONG: usize = 15;

/// The writer of the IPv6 tables.
#[derive(Debug)]
pub(super) struct V6 {
    tops: Tops,
    table: Table6,
    cells: Cells6,
    filter: Filter6,
}

fn halves(net: V6Net) -> (u64, u64) {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are wanted")]
    ((net.addr() >> 64) as u64, net.addr() as u64)
}

fn head(net: V6Net) -> usize {
    usize::try_from(net.addr() >> 112).unwrap_or(0)
}

fn key(policy: Policy, net: V6Net) -> Key6 {
    let (hi, lo) = halves(net);
    Key6 {
        hi,
        lo,
        len_policy: u64::from(net.len()) * 2 + u64::from(number(policy)),
    }
}

impl V6 {
    pub(super) fn new(store: &mut Store, counts: RuleCounts) -> Result<Self, PlaneError> {
        store.steps6.reach(2)?;
        Ok(Self {
            tops: Tops::new(true, counts),
            table: Table6::new(store, counts)?,
            cells: Cells6::new(),
            filter: Filter6::new(store)?,
        })
    }

    pub(super) fn put(
        &mut self,
        store: &mut Store,
        policy: Policy,
        net: V6Net,
        rule: PlaneRule,
    ) -> Result<(), PlaneError> {
        store.top6.reach(store.top6.capacity())?;
        store.version6.reach(store.version6.capacity())?;
        store.cell6.reach(store.cell6.capacity())?;
        let len = net.len();
        if len <= 16 {
            return self
                .tops
                .put_short(store, policy, (head(net), len), rule, &mut |_, _| {});
        }
        let (key, value) = (key(policy, net), (tag(rule), deadline(rule)));
        if let Some(spot) = self.table.find(store, key) {
            Table6::renew(store, spot, value);
            self.ended(store, net);
            return Ok(());
        }
        let table = &self.table;
        self.filter
            .prepare(store, |store, each| table.each(store, each))?;
        self.table.add(store, &mut self.tops, key, value)?;
        self.filter.add(store, key);
        if len < 32 {
            self.tops
                .add(store, head(net), policy, usize::from(len - 17));
        } else {
            if self.cells.prepare(store, len) {
                self.tops.bump_all(store);
            }
            self.tops.add(store, head(net), policy, LONG);
            self.cells.add(store, policy, key, len);
        }
        self.ended(store, net);
        Ok(())
    }

    pub(super) fn remove(&mut self, store: &Store, policy: Policy, net: V6Net) {
        let len = net.len();
        if store.top6.in_reach() == 0 {
            return;
        }
        if len <= 16 {
            self.tops
                .take_short(store, policy, (head(net), len), &mut |_, _| {});
            return;
        }
        let key = key(policy, net);
        let Some(spot) = self.table.find(store, key) else {
            return;
        };
        self.table.take(store, key, spot);
        if len < 32 {
            self.tops
                .take(store, head(net), policy, usize::from(len - 17));
        } else {
            self.tops.take(store, head(net), policy, LONG);
            self.cells.take(store, policy, key, len);
        }
        self.filter.take(store, key);
        self.ended(store, net);
    }

    /// A rule as it is held.
    pub(super) fn held(&self, store: &Store, policy: Policy, net: V6Net) -> Option<(u32, u32)> {
        let len = net.len();
        if len <= 16 {
            return self.tops.held(store, policy, (head(net), len));
        }
        let spot = self.table.find(store, key(policy, net))?;
        Some(Table6::held(store, spot))
    }

    /// Takes out a rule that was never added.
    pub(super) fn erase(&mut self, store: &Store, policy: Policy, net: V6Net) {
        if net.len() <= 16 {
            self.remove(store, policy, net);
        } else if let Some(spot) = self.table.find(store, key(policy, net)) {
            Table6::erase(store, spot);
            self.ended(store, net);
        }
    }

    /// How many places the tables have, one after the other.
    pub(super) fn places(&self, store: &Store) -> [usize; 2] {
        [self.tops.places(store), self.table.places()]
    }

    /// The rule at a place of one of the tables.
    pub(super) fn at(&self, store: &Store, table: usize, place: usize) -> Option<RuleKey> {
        if table == 0 {
            return self.tops.at(store, place);
        }
        // The first entry of the pool is never used, and in reach once another one is.
        if place == 0 {
            return None;
        }
        let key = Table6::at(store, place)?;
        inspect::long6(key.hi, key.lo, key.len_policy)
    }

    /// The counters of a rule. None if it does not exist, or nothing is counted.
    pub(super) fn usage(&self, store: &Store, policy: Policy, net: V6Net) -> Option<RuleUsage> {
        let len = net.len();
        if len <= 16 {
            return self.tops.usage_of_short(store, policy, (head(net), len));
        }
        let spot = self.table.find(store, key(policy, net))?;
        self.table.usage(store, spot)
    }

    /// Ends a change of a rule of /17 or longer.
    fn ended(&mut self, store: &Store, net: V6Net) {
        if net.len() < 32 {
            self.tops.bump(store, head(net));
        } else {
            self.cells.bump(store, halves(net).0);
        }
    }
}
