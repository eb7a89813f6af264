//! The interface of a data plane, as the firewall core needs it.

use std::{net::IpAddr, sync::Arc};

use couic_common::{ActionStats, Counter, NotInspected, Policy, RuleKey};

/// How many tags a policy can have at a time, the untagged slot included.
pub const MAX_TAGS: usize = 8192;

/// The counters of a rule's packets: an index below [`MAX_TAGS`], of its own per policy. Slot 0 is for rules without a
/// tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagSlot(u16);

impl TagSlot {
    /// The slot of rules without a tag.
    pub const UNTAGGED: Self = Self(0);

    /// None if `index` is not below [`MAX_TAGS`].
    #[must_use]
    pub fn new(index: usize) -> Option<Self> {
        if index < MAX_TAGS {
            u16::try_from(index).ok().map(Self)
        } else {
            None
        }
    }

    /// The index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// How many rules the tables must hold, per policy, in each address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rules of policy drop.
    pub drop_entries: usize,
    /// Rules of policy ignore.
    pub ignore_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            drop_entries: 1_048_576,
            ignore_entries: 65_536,
        }
    }
}

impl Limits {
    /// The capacity that a data plane must have so that a reload of sets never leaves a gap: for a moment, new rules
    /// are there before old ones go.
    #[must_use]
    pub fn with_reload_headroom(self) -> Self {
        let Self {
            drop_entries,
            ignore_entries,
        } = self;
        Self {
            drop_entries: drop_entries
                .saturating_add(drop_entries / 8)
                .saturating_add(1024),
            ignore_entries: ignore_entries.saturating_mul(2),
        }
    }

    /// The limit of one policy, per address family.
    #[must_use]
    pub fn of(self, policy: Policy) -> usize {
        match policy {
            Policy::Drop => self.drop_entries,
            Policy::Ignore => self.ignore_entries,
        }
    }
}

/// The data plane's data of a rule besides its policy and CIDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneRule {
    /// The counters of its packets.
    pub slot: TagSlot,
    /// Unix seconds at which it stops matching should no daemon run; 0 = never.
    pub deadline: u64,
}

impl PlaneRule {
    /// As tables hold it: whole seconds up to 2106.
    #[must_use]
    pub fn as_held(self) -> Self {
        let deadline = u32::try_from(self.deadline).unwrap_or(0);
        Self {
            deadline: deadline.into(),
            ..self
        }
    }
}

/// The counters of one rule since it was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleUsage {
    /// Frames.
    pub hits: u64,
    /// Unix seconds of the last one; 0 = none yet.
    pub last_seen: u64,
}

/// The data plane refused a rule.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// The tables are full. The core checks [`Limits`] first, so this means that the tables are sized wrongly.
    #[error("the data plane's {table} table is full")]
    Full {
        /// Which table.
        table: &'static str,
    },
    /// The kernel refused an update.
    #[error("the kernel refused an update of {table}: {source}")]
    Kernel {
        /// Which map.
        table: &'static str,
        /// Its error.
        source: std::io::Error,
    },
}

/// The tables that decide about packets. One writer: the owner of the rules.
///
/// For every packet the answer is: pass if a rule of policy ignore covers the source; else drop if one of policy
/// drop does; else pass. It counts under the slot of the longest covering prefix of the deciding policy. A packet
/// sees the state before a call or the one after it, nothing else.
pub trait Plane: Send {
    /// Adds a rule, or replaces slot and deadline of the one with this policy and CIDR.
    ///
    /// # Errors
    /// Nothing has changed then.
    fn put(&mut self, key: RuleKey, rule: PlaneRule) -> Result<(), PlaneError>;

    /// Removes a rule. Without effect if there is none.
    ///
    /// # Errors
    /// The rule may still be in force then.
    fn remove(&mut self, key: RuleKey) -> Result<(), PlaneError>;

    /// The heartbeat of the daemon, with the time (Unix seconds): while this is called at least every few seconds,
    /// deadlines are the daemon's business.
    fn heartbeat(&mut self, now: u64);

    /// A rule as the tables hold it, for comparing. A deadline behind 2106 is shown as none.
    fn held(&self, key: RuleKey) -> Option<PlaneRule>;

    /// The rules that decide about packets from an address, looked up as packets do; None if there are none.
    fn decides(&self, source: IpAddr) -> Option<(Policy, TagSlot)>;

    /// Removes a rule that only the tables know, and that was never put. Without effect if there is none.
    fn erase(&mut self, key: RuleKey);

    /// Shows rules that the tables hold, at `places` of their places from `from` on. Returns the position to continue
    /// from; None after the last place.
    fn walk(&self, from: usize, places: usize, show: &mut dyn FnMut(RuleKey)) -> Option<usize>;

    /// The switch that lets everything pass. It works beside changes of rules.
    fn valve(&self) -> Arc<dyn Valve>;

    /// The counters of a rule. None if there is no such rule, or if rules are not counted one by one.
    fn usage(&self, key: RuleKey) -> Option<RuleUsage> {
        let _ = key;
        None
    }
}

/// The panic switch of a data plane: while it is open every packet passes and counts as passed, regardless of the
/// rules. They can still be changed, and all hold again from the next packet on when it is closed.
pub trait Valve: Send + Sync {
    /// In force when this returns.
    fn set_open(&self, open: bool);

    /// Whether everything passes.
    fn is_open(&self) -> bool;
}

/// The data plane's counters. Reads never disturb packets nor updates.
pub trait Counters: Send + Sync {
    /// Frames by verdict.
    fn actions(&self) -> ActionStats;

    /// Frames in which no source address was looked for.
    fn not_inspected(&self) -> NotInspected;

    /// Packets that the rules of one policy and slot decided about, since the program was loaded.
    fn tag(&self, policy: Policy, slot: TagSlot) -> Counter;
}
