//! Writes IPv4 rules into the tables. The order of stores keeps packets from half states: the entry, the head's word,
//! the head's version, the prefilter. A packet that began before a change of its head ended looks again.

use std::net::Ipv4Addr;

use couic_common::{Cidr, Policy, RuleKey, V4Net};
use couic_ebpf::layout::key4;

use super::{
    PlaneError, PlaneRule, RuleUsage,
    hosts4::Hosts4,
    inspect,
    prefilter4::{MANY, Prefilter4},
    rule_counts::RuleCounts,
    store::Store,
    table4::Table4,
    tops::{Tops, deadline, number, tag},
};

/// The writer of the IPv4 tables.
#[derive(Debug)]
pub(super) struct V4 {
    tops: Tops,
    hosts: Hosts4,
    table: Table4,
    prefilter: Prefilter4,
}

/// Whether a rule belongs into the table of hosts, if that has room.
fn is_host(policy: Policy, len: u8) -> bool {
    policy == Policy::Drop && len == 32
}

fn head(net: V4Net) -> usize {
    (net.addr() >> 16) as usize
}

fn key(policy: Policy, address: u32, len: u8) -> u64 {
    key4(address & mask(len), 32 - u32::from(len), number(policy))
}

fn mask(len: u8) -> u32 {
    u32::MAX << (32 - u32::from(len)).min(31)
}

impl V4 {
    pub(super) fn new(store: &mut Store, counts: RuleCounts) -> Result<Self, PlaneError> {
        store.prefilter4.reach(store.prefilter4.capacity())?;
        store.busy4.reach(store.busy4.capacity())?;
        store.head4.reach(store.head4.capacity())?;
        store.top4.reach(store.top4.capacity())?;
        Ok(Self {
            tops: Tops::new(false, counts),
            hosts: Hosts4::new(store, counts)?,
            table: Table4::new(store, counts)?,
            prefilter: Prefilter4::new(),
        })
    }

    pub(super) fn put(
        &mut self,
        store: &mut Store,
        policy: Policy,
        net: V4Net,
        rule: PlaneRule,
    ) -> Result<(), PlaneError> {
        let len = net.len();
        if len <= 16 {
            let prefilter = &self.prefilter;
            let mut leaf = |store: &Store, head| prefilter.refresh_head(store, head);
            return self
                .tops
                .put_short(store, policy, (head(net), len), rule, &mut leaf);
        }
        let value = (tag(rule), deadline(rule));
        if self.renew(store, policy, net, value)? {
            self.tops.bump(store, head(net));
            return Ok(());
        }
        let hosts = is_host(policy, len);
        if hosts && self.hosts.add(store, &mut self.tops, net.addr(), value)? {
            self.tops.add_host(store, head(net));
        } else {
            let key = key(policy, net.addr(), len);
            self.table.add(store, &mut self.tops, key, value)?;
            self.tops
                .add(store, head(net), policy, usize::from(len - 17));
            self.tops.bump(store, head(net));
        }
        if len > 24 {
            self.prefilter.add_long(store, net.addr());
        } else {
            self.prefilter.add_mid(store, net.addr(), len);
        }
        Ok(())
    }

    /// A rule as it is held.
    pub(super) fn held(&self, store: &Store, policy: Policy, net: V4Net) -> Option<(u32, u32)> {
        let len = net.len();
        if len <= 16 {
            return self.tops.held(store, policy, (head(net), len));
        }
        if is_host(policy, len)
            && let Some(spot) = self.hosts.find(store, net.addr())
        {
            return Some(Hosts4::held(store, spot));
        }
        let spot = self.table.find(store, key(policy, net.addr(), len))?;
        Some(Table4::held(store, spot))
    }

    /// Takes out a rule that was never added.
    pub(super) fn erase(&mut self, store: &Store, policy: Policy, net: V4Net) {
        let len = net.len();
        if len <= 16 {
            self.remove(store, policy, net);
            return;
        }
        if is_host(policy, len)
            && let Some(spot) = self.hosts.find(store, net.addr())
        {
            Hosts4::erase(store, spot);
        } else if let Some(spot) = self.table.find(store, key(policy, net.addr(), len)) {
            Table4::erase(store, spot);
        }
        self.tops.bump(store, head(net));
    }

    /// How many places the tables have, one after the other.
    pub(super) fn places(&self, store: &Store) -> [usize; 3] {
        [
            self.tops.places(store),
            self.hosts.places(),
            self.table.places(),
        ]
    }

    /// The rule at a place of one of the tables.
    pub(super) fn at(&self, store: &Store, table: usize, place: usize) -> Option<RuleKey> {
        match table {
            0 => self.tops.at(store, place),
            1 => {
                let address = Ipv4Addr::from_bits(self.hosts.at(store, place)?);
                Some(RuleKey::new(Policy::Drop, Cidr::host(address.into())))
            }
            _ => inspect::long4(Table4::at(store, place)?),
        }
    }

    /// The counters of a rule. None if it does not exist, or nothing is counted.
    pub(super) fn usage(&self, store: &Store, policy: Policy, net: V4Net) -> Option<RuleUsage> {
        let len = net.len();
        if len <= 16 {
            return self.tops.usage_of_short(store, policy, (head(net), len));
        }
        if is_host(policy, len)
            && let Some(spot) = self.hosts.find(store, net.addr())
        {
            return self.hosts.usage(store, spot);
        }
        let spot = self.table.find(store, key(policy, net.addr(), len))?;
        self.table.usage(store, spot)
    }

    /// Gives an existing rule another tag slot and deadline. False if it does not exist.
    fn renew(
        &self,
        store: &mut Store,
        policy: Policy,
        net: V4Net,
        value: (u32, u32),
    ) -> Result<bool, PlaneError> {
        if is_host(policy, net.len())
            && let Some(spot) = self.hosts.find(store, net.addr())
        {
            return self.hosts.renew(store, spot, value).map(|()| true);
        }
        match self.table.find(store, key(policy, net.addr(), net.len())) {
            Some(spot) => self.table.renew(store, spot, value).map(|()| true),
            None => Ok(false),
        }
    }

    /// Removes a rule of /17 or longer from its table. False if it is in none.
    fn take(&mut self, store: &Store, policy: Policy, net: V4Net) -> bool {
        let len = net.len();
        if is_host(policy, len)
            && let Some(spot) = self.hosts.find(store, net.addr())
        {
            self.hosts.take(store, spot);
            self.tops.take_host(store, head(net));
            return true;
        }
        let key = key(policy, net.addr(), len);
        let Some(spot) = self.table.find(store, key) else {
            return false;
        };
        self.table.take(store, key, spot);
        self.tops
            .take(store, head(net), policy, usize::from(len - 17));
        self.tops.bump(store, head(net));
        true
    }

    pub(super) fn remove(&mut self, store: &Store, policy: Policy, net: V4Net) {
        let len = net.len();
        if len <= 16 {
            let prefilter = &self.prefilter;
            let mut leaf = |store: &Store, head| prefilter.refresh_head(store, head);
            self.tops
                .take_short(store, policy, (head(net), len), &mut leaf);
            return;
        }
        if !self.take(store, policy, net) {
            return;
        }
        let rules = Rules {
            tops: &self.tops,
            hosts: &self.hosts,
            table: &self.table,
            store,
        };
        if len > 24 {
            self.prefilter
                .take_long(store, net.addr(), || rules.count_long(net.addr()));
        } else {
            self.prefilter
                .take_mid(store, net.addr(), len, |first, bits| {
                    rules.covered(first, bits)
                });
        }
    }
}

/// The tables' view of rules of /17 and longer.
struct Rules<'a> {
    tops: &'a Tops,
    hosts: &'a Hosts4,
    table: &'a Table4,
    store: &'a Store,
}

impl Rules<'_> {
    fn exists(&self, policy: Policy, address: u32, len: u8) -> bool {
        let host = is_host(policy, len) && self.hosts.find(self.store, address).is_some();
        host || self
            .table
            .find(self.store, key(policy, address, len))
            .is_some()
    }

    /// Policies and lengths of a range that exist under the /16 of an address.
    fn lengths(&self, address: u32, from: u8, to: u8) -> impl Iterator<Item = (Policy, u8)> {
        let head = (address >> 16) as usize;
        let mut word = self.tops.word(self.store, head);
        if self.tops.hosts(head) != 0 {
            word |= Tops::bit(Policy::Drop, 15);
        }
        let all = Policy::ALL
            .into_iter()
            .flat_map(move |p| (from..=to).map(move |len| (p, len)));
        all.filter(move |(policy, len)| word & Tops::bit(*policy, usize::from(len - 17)) != 0)
    }

    /// How many rules from /25 on lie in the /24 of `address`, up to [`MANY`].
    fn count_long(&self, address: u32) -> u8 {
        let mut found = 0;
        for (policy, len) in self.lengths(address, 25, 32) {
            for nth in 0..1u32 << (len - 24) {
                let prefix = address & mask(24) | nth << (32 - len);
                found += u8::from(self.exists(policy, prefix, len));
                if found == MANY {
                    return MANY;
                }
            }
        }
        found
    }

    /// Which of the 64 /24s from `first` on, out of those in `bits`, rules of /17 to /24 cover.
    fn covered(&self, first: u32, bits: u64) -> u64 {
        let mut covered = 0u64;
        for (policy, len) in self.lengths(first, 17, 24) {
            let (size, count) = if len <= 18 {
                (64, 1)
            } else {
                (1u32 << (24 - len), 1 << (len - 18))
            };
            for nth in 0..count {
                let here = if size == 64 {
                    u64::MAX
                } else {
                    ((1 << size) - 1) << (nth * size)
                };
                if bits & !covered & here != 0
                    && self.exists(policy, first + ((nth * size) << 8), len)
                {
                    covered |= here;
                }
            }
        }
        covered
    }
}
