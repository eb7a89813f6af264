//! The words for the 16 bits on top of an address, for either family: which lengths exist below, and the best rule of
//! /16 or shorter.
//!
//! Rules up to /16 live in a binary tree in heap order; each of its leaves, a /16, has the longest covering rule of
//! each policy folded into its [`Top`]. A /1 in or out walks the half of the tree below it, 65,536 nodes.

use couic_common::{Policy, RuleKey};
use couic_ebpf::layout::{
    HEAD_HOSTS, HEAD_MORE, HEAD_VERSION, TAG_MASK, TOP_DROP, TOP_IGNORE, TOPS, Top, VALID,
};

use super::{
    PlaneError, PlaneRule, RuleUsage,
    busy4::Busy4,
    inspect,
    region::{Region, read, write},
    rule_counts::{RuleCounts, Slot},
    store::Store,
};

/// A family's heads and the bookkeeping of user space for clearing their bits again.
#[derive(Debug)]
pub(super) struct Tops {
    v6: bool,
    /// Rules per policy, length bit and head: pages of unused ones are never touched.
    counts: Vec<u32>,
    /// IPv4 hosts in their own table, per head.
    hosts: Vec<u32>,
    busy: Busy4,
    rule_counts: RuleCounts,
}

/// The policy as a number in keys and indices.
pub(super) fn number(policy: Policy) -> u32 {
    match policy {
        Policy::Drop => couic_ebpf::layout::DROP,
        Policy::Ignore => couic_ebpf::layout::IGNORE,
    }
}

/// A rule's deadline as 32 bits of Unix seconds; deadlines behind 2106 are left to the daemon.
pub(super) fn deadline(rule: PlaneRule) -> u32 {
    u32::try_from(rule.deadline).unwrap_or(0)
}

/// A rule's tag slot.
pub(super) fn tag(rule: PlaneRule) -> u32 {
    u32::try_from(rule.slot.index()).unwrap_or(0) & TAG_MASK
}

impl Tops {
    pub(super) fn new(v6: bool, rule_counts: RuleCounts) -> Self {
        Self {
            v6,
            counts: vec![0; 2 * 16 * TOPS as usize],
            hosts: vec![0; TOPS as usize],
            busy: Busy4::new(),
            rule_counts,
        }
    }

    fn tops<'a>(&self, store: &'a Store) -> &'a Region<Top> {
        if self.v6 { &store.top6 } else { &store.top4 }
    }

    fn shorts<'a>(&self, store: &'a Store) -> &'a Region<u64> {
        if self.v6 {
            &store.short6
        } else {
            &store.short4
        }
    }

    /// The word of a head.
    pub(super) fn word(&self, store: &Store, head: usize) -> u64 {
        read!(self.tops(store), head)
    }

    /// Ends a change that concerns packets from under `head`: from now on they go by its present word and table of
    /// hosts.
    pub(super) fn bump(&mut self, store: &Store, head: usize) {
        if self.v6 {
            write!(store.version6, head => read!(store.version6, head).wrapping_add(1));
            return;
        }
        let word = self.word(store, head);
        let mut short = word & 0xffff;
        if self.hosts[head] != 0 {
            short |= HEAD_HOSTS;
        }
        if word >> 16 != 0 {
            short |= HEAD_MORE;
        }
        let version = (read!(store.head4, head) >> HEAD_VERSION).wrapping_add(1);
        write!(store.head4, head => short | version << HEAD_VERSION);
        self.busy.set(store, head, short != 0);
    }

    /// How many hosts under `head` are in the table of hosts.
    pub(super) fn hosts(&self, head: usize) -> u32 {
        self.hosts[head]
    }

    /// One host more there, and the end of that change.
    pub(super) fn add_host(&mut self, store: &Store, head: usize) {
        self.hosts[head] += 1;
        self.bump(store, head);
    }

    /// One host less there, and the end of that change.
    pub(super) fn take_host(&mut self, store: &Store, head: usize) {
        self.hosts[head] -= 1;
        self.bump(store, head);
    }

    /// Ends a change that all lookups may see.
    pub(super) fn bump_all(&mut self, store: &Store) {
        for head in 0..self.tops(store).in_reach() {
            self.bump(store, head);
        }
    }

    /// One more rule of the length that `bit` stands for. Its entry is in place already.
    pub(super) fn add(&mut self, store: &Store, head: usize, policy: Policy, bit: usize) {
        let count = &mut self.counts[Self::place(head, policy, bit)];
        *count += 1;
        if *count == 1 {
            let tops = self.tops(store);
            write!(tops, head => read!(tops, head) | Self::bit(policy, bit));
        }
    }

    /// One rule less. Its entry is gone already.
    pub(super) fn take(&mut self, store: &Store, head: usize, policy: Policy, bit: usize) {
        let count = &mut self.counts[Self::place(head, policy, bit)];
        *count -= 1;
        if *count == 0 {
            let tops = self.tops(store);
            write!(tops, head => read!(tops, head) & !Self::bit(policy, bit));
        }
    }

    fn place(head: usize, policy: Policy, bit: usize) -> usize {
        (number(policy) as usize * 16 + bit) * TOPS as usize + head
    }

    /// A policy's bit for a length in [`Top`].
    pub(super) fn bit(policy: Policy, bit: usize) -> u64 {
        1 << (number(policy) as usize * 16 + bit)
    }

    /// Adds or replaces a rule of /16 or shorter; `head` is its prefix. Calls `leaf` for each /16 whose word changed.
    pub(super) fn put_short(
        &mut self,
        store: &mut Store,
        policy: Policy,
        (head, len): (usize, u8),
        rule: PlaneRule,
        leaf: &mut dyn FnMut(&Store, usize),
    ) -> Result<(), PlaneError> {
        let shorts = if self.v6 {
            &mut store.short6
        } else {
            &mut store.short4
        };
        shorts.reach(shorts.capacity())?;
        let node = node(head, len);
        let value = tag(rule) | VALID;
        if self.rule_at(store, policy, node) == 0 {
            self.rule_counts.begin(store, self.slot(policy, node));
        }
        let record = u64::from(deadline(rule)) << 32 | u64::from(value);
        write!(self.shorts(store), node * 2 + number(policy) as usize => record);
        self.fill(store, policy, node, value, leaf);
        Ok(())
    }

    /// Removes such a rule. False if there is none.
    pub(super) fn take_short(
        &mut self,
        store: &Store,
        policy: Policy,
        (head, len): (usize, u8),
        leaf: &mut dyn FnMut(&Store, usize),
    ) -> bool {
        let node = node(head, len);
        if self.rule_at(store, policy, node) == 0 {
            return false;
        }
        write!(self.shorts(store), node * 2 + number(policy) as usize => 0);
        let mut above = node >> 1;
        let mut value = 0;
        while above != 0 && value == 0 {
            value = self.rule_at(store, policy, above);
            above >>= 1;
        }
        self.fill(store, policy, node, value, leaf);
        true
    }

    /// The tag slot and [`VALID`] of the rule at a node, or 0.
    fn rule_at(&self, store: &Store, policy: Policy, node: usize) -> u32 {
        let shorts = self.shorts(store);
        if shorts.in_reach() == 0 {
            return 0;
        }
        let record = read!(shorts, node * 2 + number(policy) as usize);
        u32::try_from(record & u64::from(VALID | TAG_MASK)).unwrap_or(0)
    }

    /// Tag slot and deadline of a rule of /16 or shorter; `head` is its prefix.
    pub(super) fn held(
        &self,
        store: &Store,
        policy: Policy,
        (head, len): (usize, u8),
    ) -> Option<(u32, u32)> {
        let node = node(head, len);
        let value = self.rule_at(store, policy, node);
        if value == 0 {
            return None;
        }
        let record = read!(self.shorts(store), node * 2 + number(policy) as usize);
        let deadline = u32::try_from(record >> 32).unwrap_or(0);
        Some((value & TAG_MASK, deadline))
    }

    /// How many places there are for rules of /16 or shorter.
    pub(super) fn places(&self, store: &Store) -> usize {
        self.shorts(store).in_reach()
    }

    /// The rule at a place.
    pub(super) fn at(&self, store: &Store, place: usize) -> Option<RuleKey> {
        let held = read!(self.shorts(store), place) & u64::from(VALID) != 0;
        held.then(|| inspect::short(self.v6, place)).flatten()
    }

    fn slot(&self, policy: Policy, node: usize) -> Slot {
        let at = node * 2 + number(policy) as usize;
        if self.v6 {
            Slot::Short6(at)
        } else {
            Slot::Short4(at)
        }
    }

    /// The counters of such a rule.
    pub(super) fn usage_of_short(
        &self,
        store: &Store,
        policy: Policy,
        (head, len): (usize, u8),
    ) -> Option<RuleUsage> {
        let node = node(head, len);
        if self.rule_at(store, policy, node) == 0 {
            return None;
        }
        self.rule_counts.read(store, self.slot(policy, node))
    }

    /// Gives `value` to every leaf under `node` that has no longer rule of this policy.
    fn fill(
        &mut self,
        store: &Store,
        policy: Policy,
        node: usize,
        value: u32,
        leaf: &mut dyn FnMut(&Store, usize),
    ) {
        if let Some(head) = node.checked_sub(TOPS as usize) {
            let shift = match policy {
                Policy::Drop => TOP_DROP,
                Policy::Ignore => TOP_IGNORE,
            };
            let tops = self.tops(store);
            let rest = read!(tops, head) & !(u64::from(VALID | TAG_MASK) << shift);
            write!(tops, head => rest | u64::from(value) << shift);
            self.bump(store, head);
            leaf(store, head);
            return;
        }
        for child in [node * 2, node * 2 + 1] {
            if self.rule_at(store, policy, child) == 0 {
                self.fill(store, policy, child, value, leaf);
            }
        }
    }
}

/// Heap order: the root is 1, the /16s are 65,536 and up.
fn node(head: usize, len: u8) -> usize {
    (TOPS as usize | head) >> (16 - len)
}
