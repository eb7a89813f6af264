//! The rules that are worth a line: the most hit, or the newest, out of pages of a list of any length.

use std::{cmp::Ordering, collections::BTreeMap};

use couic_common::{Cidr, Entry, Policy};

use crate::top::answer::Page;

/// Rules kept.
const KEPT: usize = 1_000;

/// The order of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::top) enum RuleSort {
    /// By hits per second; without counters, the newest first.
    Hits,
    Newest,
    Address,
}

impl RuleSort {
    pub(in crate::top) const fn next(self) -> Self {
        match self {
            Self::Hits => Self::Newest,
            Self::Newest => Self::Address,
            Self::Address => Self::Hits,
        }
    }
}

/// A rule, and its hits per second.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::top) struct Rule {
    pub(in crate::top) policy: Policy,
    pub(in crate::top) entry: Entry,
    pub(in crate::top) rate: Option<f64>,
}

/// The rules that are kept.
#[derive(Debug)]
pub(in crate::top) struct Rules {
    kept: BTreeMap<(Policy, Cidr), Rule>,
    sort: RuleSort,
    /// Whether the daemon counts hits.
    counted: bool,
    looked: [u64; 2],
    /// Where the last page of each policy begins: with counters, each is read twice.
    page: [Option<Option<Cidr>>; 2],
    complete: [bool; 2],
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            kept: BTreeMap::new(),
            sort: RuleSort::Hits,
            counted: false,
            looked: [0; 2],
            page: [None; 2],
            complete: [false; 2],
        }
    }
}

impl Rules {
    /// Takes a page: it replaces what was known of its part of the list.
    pub(super) fn take(&mut self, page: Page) {
        let Page {
            policy,
            after,
            last,
            rules,
        } = page;
        let slot = policy as usize;
        let seen = rules.len() as u64;
        if after.is_none() {
            self.looked[slot] = seen;
        } else if self.page[slot] != Some(after) {
            self.looked[slot] += seen;
        }
        self.page[slot] = Some(after);
        self.complete[slot] |= last.is_none();
        let within = |cidr: Cidr| after.is_none_or(|a| cidr > a) && last.is_none_or(|l| cidr <= l);
        let mut old = BTreeMap::new();
        self.kept.retain(|(p, cidr), rule| {
            let replaced = *p == policy && within(*cidr);
            if replaced {
                old.insert(*cidr, rule.rate);
            }
            !replaced
        });
        for (entry, rate) in rules {
            self.counted |= entry.hits.is_some();
            // The first reading of a page has no rates: those of the last time hold meanwhile.
            let rate = rate.or_else(|| old.get(&entry.cidr).copied().flatten());
            let rule = Rule {
                policy,
                entry,
                rate,
            };
            self.kept.insert((policy, rule.entry.cidr), rule);
        }
        self.trim();
    }

    fn trim(&mut self) {
        if self.kept.len() <= KEPT {
            return;
        }
        let surplus = self.sorted().split_off(KEPT);
        let surplus: Vec<_> = surplus
            .iter()
            .map(|rule| (rule.policy, rule.entry.cidr))
            .collect();
        for key in surplus {
            self.kept.remove(&key);
        }
    }

    /// All that are kept, in order.
    pub(in crate::top) fn sorted(&self) -> Vec<&Rule> {
        let mut rules: Vec<&Rule> = self.kept.values().collect();
        let newest = |a: &&Rule, b: &&Rule| b.entry.creation.cmp(&a.entry.creation);
        let hits = |a: &&Rule, b: &&Rule| -> Ordering {
            let rates = b.rate.unwrap_or(-1.0).total_cmp(&a.rate.unwrap_or(-1.0));
            rates.then(b.entry.hits.cmp(&a.entry.hits))
        };
        match self.sort() {
            RuleSort::Hits => rules.sort_by(|a, b| hits(a, b).then(newest(a, b))),
            RuleSort::Newest => rules.sort_by(newest),
            RuleSort::Address => {}
        }
        rules
    }

    /// All that are kept, the newest first.
    pub(in crate::top) fn newest(&self) -> Vec<&Rule> {
        let mut rules: Vec<&Rule> = self.kept.values().collect();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.entry.creation));
        rules
    }

    /// The order; without counters there is none by hits.
    pub(in crate::top) const fn sort(&self) -> RuleSort {
        match self.sort {
            RuleSort::Hits if !self.counted => RuleSort::Newest,
            sort => sort,
        }
    }

    /// Sorts by the next order. What was left out for the last one is found again as the pages come.
    pub(in crate::top) const fn sort_next(&mut self) {
        self.sort = self.sort().next();
    }

    /// Rules looked at in this pass; `None` once each policy was read to its end.
    pub(in crate::top) fn looked_at(&self) -> Option<u64> {
        let all = self.complete.iter().all(|complete| *complete);
        (!all).then(|| self.looked.iter().sum())
    }

    /// A rule that was added just now.
    pub(in crate::top) fn added(&mut self, policy: Policy, entry: Entry) {
        let cidr = entry.cidr;
        let rule = Rule {
            policy,
            entry,
            rate: None,
        };
        self.kept.insert((policy, cidr), rule);
    }

    /// A rule that is gone.
    pub(in crate::top) fn removed(&mut self, policy: Policy, cidr: Cidr) {
        self.kept.remove(&(policy, cidr));
    }

    /// Other rules are read from now on. Those that are kept stay until their part of the list is read.
    pub(in crate::top) const fn restart(&mut self) {
        self.looked = [0; 2];
        self.page = [None; 2];
        self.complete = [false; 2];
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn host(n: u32) -> Cidr {
        Cidr::host(Ipv4Addr::from(n).into())
    }

    fn entry(n: u32, hits: Option<u64>) -> Entry {
        let cidr = host(n).to_string();
        let mut entry =
            serde_json::json!({"creation": n, "cidr": cidr, "tag": null, "expiration": 0});
        if let Some(hits) = hits {
            entry["hits"] = hits.into();
        }
        serde_json::from_value(entry).unwrap()
    }

    fn page(numbers: std::ops::Range<u32>, after: Option<u32>, ends: bool) -> Page {
        Page {
            policy: Policy::Drop,
            after: after.map(host),
            last: (!ends).then(|| host(numbers.end - 1)),
            rules: numbers.map(|n| (entry(n, None), None)).collect(),
        }
    }

    fn first(rules: &Rules, count: usize) -> Vec<Cidr> {
        rules
            .sorted()
            .iter()
            .take(count)
            .map(|r| r.entry.cidr)
            .collect()
    }

    #[test]
    fn a_page_replaces_its_part_and_the_newest_are_kept() {
        let mut rules = Rules::default();
        rules.take(page(1..1_001, None, false));
        rules.take(page(1_001..2_001, Some(1_000), false));
        // Read for the second time.
        rules.take(page(1_001..2_001, Some(1_000), false));
        assert_eq!(rules.looked_at(), Some(2_000));
        rules.take(page(2_001..2_101, Some(2_000), true));
        assert_eq!(rules.sorted().len(), KEPT);
        assert_eq!(first(&rules, 2), [host(2_100), host(2_099)]);
        // The last of the list are gone.
        rules.take(page(2_001..2_050, Some(2_000), true));
        assert_eq!(first(&rules, 2), [host(2_049), host(2_048)]);
        rules.removed(Policy::Drop, host(2_049));
        assert_eq!(first(&rules, 1), [host(2_048)]);
        rules.take(Page {
            policy: Policy::Ignore,
            after: None,
            last: None,
            rules: Vec::new(),
        });
        assert_eq!(rules.looked_at(), None);
    }

    #[test]
    fn the_most_hit_come_first_and_keep_their_rate_until_it_is_read_again() {
        let mut rules = Rules::default();
        let rated = |rates: [Option<f64>; 3]| Page {
            policy: Policy::Drop,
            after: None,
            last: None,
            rules: (1..4)
                .zip(rates)
                .map(|(n, r)| (entry(n, Some(5)), r))
                .collect(),
        };
        rules.take(rated([Some(1.0), Some(9.0), None]));
        assert_eq!(first(&rules, 3), [host(2), host(1), host(3)]);
        rules.take(rated([None, None, Some(4.0)]));
        assert_eq!(first(&rules, 3), [host(2), host(3), host(1)]);
        rules.sort_next();
        assert_eq!(
            (rules.sort(), first(&rules, 1)),
            (RuleSort::Newest, vec![host(3)])
        );
        rules.sort_next();
        assert_eq!(
            (rules.sort(), first(&rules, 1)),
            (RuleSort::Address, vec![host(1)])
        );
        rules.sort_next();
        assert_eq!(rules.sort(), RuleSort::Hits);
    }

    #[test]
    fn without_counters_there_are_two_orders() {
        let mut rules = Rules::default();
        rules.take(page(1..3, None, true));
        assert_eq!(rules.sort(), RuleSort::Newest);
        rules.sort_next();
        assert_eq!(rules.sort(), RuleSort::Address);
        rules.sort_next();
        assert_eq!(rules.sort(), RuleSort::Newest);
    }
}
