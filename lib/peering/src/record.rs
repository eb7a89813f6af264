//! One register: the last word of one machine on a CIDR of a policy.

use couic_common::{Cidr, ReasonId, RuleKey, Tag};
use twox_hash::XxHash3_64;

use crate::{Moment, PeerId, Stamp};

/// The expiration of rules that never expire.
pub const NEVER: u64 = u64::MAX;

/// The content of a register.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordState {
    /// The machine's clients want such a rule.
    Live {
        /// Its label.
        tag: Option<Tag>,
        /// Expiration: Unix milliseconds by the writer's clock, or [`NEVER`].
        until: u64,
    },
    /// They no longer want it.
    Deleted,
}

/// The last write to a register: nobody but its writer changes it, and it is the same on every node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Time and node of the write.
    pub stamp: Stamp,
    /// A rule, or its end.
    pub state: RecordState,
    /// Until when, by the writer's clock, a write that this one replaced could still be in force on a node that has not
    /// heard of this one. If that is later than the end of the rule itself, the register is kept as a tombstone until
    /// then. 0 = none.
    pub covers: u64,
    /// An operator there ended the rule for all: where the writer is trusted with that, registers of other machines whose
    /// stamps have an earlier time than this end, too. Later writes carry it on. 0 = none.
    pub revokes: u64,
}

/// Which register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisterId {
    /// The rule.
    pub key: RuleKey,
    /// The machine that writes it.
    pub author: u32,
}

/// A register as one node holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The replicated part.
    pub record: Record,
    /// By how much this node's clock is ahead of the writer's, in milliseconds.
    pub shift: i64,
    /// The peer that it came from; [`PeerId::SELF`] for this node's clients.
    pub from: PeerId,
    /// Whether that peer is its author.
    pub direct: bool,
    /// Whether it was ended here: by a revocation, or as its peer was forgotten. It stays so until it is written anew.
    pub ended: bool,
    /// Whether what it revokes ends the rules of others here: its peer is trusted with that, and wrote it or heeds it, too.
    pub heeded: bool,
    /// Whether the firewall has it.
    pub in_force: bool,
    /// Why the rule is there, by its number in the replica. It belongs to the write, and is no part of its digest: nodes
    /// that know no reasons hold the same.
    pub reason: ReasonId,
}

impl Record {
    /// The machine that wrote it.
    #[must_use]
    pub const fn author(&self) -> u32 {
        self.stamp.node.machine()
    }

    /// Time at which the register can be forgotten, Unix milliseconds, on a node whose clock is ahead by `shift`.
    #[must_use]
    pub fn ends(&self, lifetime: u64, shift: i64) -> u64 {
        let grave = self.stamp.ms().saturating_add(lifetime);
        match self.state {
            RecordState::Live { until, .. } => {
                shifted(until, shift).max(grave.min(shifted(self.covers, shift)))
            }
            RecordState::Deleted => grave,
        }
    }

    /// The time that a write replacing this one has to cover.
    #[must_use]
    pub fn to_cover(&self) -> u64 {
        match self.state {
            RecordState::Live { until, .. } => until.max(self.covers),
            RecordState::Deleted => NEVER,
        }
    }

    /// Whether it is a rule, expired or not.
    #[must_use]
    pub const fn is_rule(&self) -> bool {
        matches!(self.state, RecordState::Live { .. })
    }
}

/// A time by another clock. 0 and [`NEVER`] are none.
fn shifted(ms: u64, shift: i64) -> u64 {
    match ms {
        0 | NEVER => ms,
        ms => ms.saturating_add_signed(shift).clamp(1, NEVER - 1),
    }
}

impl Slot {
    /// The expiration by this node's clock, Unix milliseconds; None unless it is a rule.
    #[must_use]
    pub fn until(&self) -> Option<u64> {
        match self.record.state {
            RecordState::Live { until, .. } => Some(shifted(until, self.shift)),
            RecordState::Deleted => None,
        }
    }

    /// The label.
    #[must_use]
    pub const fn tag(&self) -> Option<&Tag> {
        match &self.record.state {
            RecordState::Live { tag, .. } => tag.as_ref(),
            RecordState::Deleted => None,
        }
    }

    /// Whether the rule is to be in force.
    #[must_use]
    pub fn is_live(&self, now: Moment) -> bool {
        !self.ended && self.until().is_some_and(|until| until > now.wall)
    }

    /// Time at which the register can be forgotten, Unix milliseconds.
    #[must_use]
    pub fn ends(&self, lifetime: u64) -> u64 {
        let ends = self.record.ends(lifetime, self.shift);
        if self.ended {
            ends.min(self.record.stamp.ms().saturating_add(lifetime))
        } else {
            ends
        }
    }

    /// Whether it belongs to this node's clients.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.from == PeerId::SELF
    }
}

fn bytes_of(key: RuleKey) -> [u8; 18] {
    let mut bytes = [0; 18];
    bytes[0] = key.policy as u8 | if key.cidr.is_ipv4() { 0 } else { 2 };
    bytes[1] = key.cidr.prefix();
    match key.cidr {
        Cidr::V4(net) => bytes[2..6].copy_from_slice(&net.addr().to_be_bytes()),
        Cidr::V6(net) => bytes[2..18].copy_from_slice(&net.addr().to_be_bytes()),
    }
    bytes
}

/// The leaf of a register in the digest tree: the same on every node, and evenly distributed.
#[must_use]
pub fn leaf_of(key: RuleKey) -> u16 {
    let hash = XxHash3_64::oneshot(&bytes_of(key));
    (hash >> 48) as u16
}

/// The digest of a register: of its whole content, so that nodes with equal digests hold the same.
pub(crate) fn digest_of(key: RuleKey, record: &Record) -> u64 {
    let (kind, until, tag) = match &record.state {
        RecordState::Live { tag, until } => (0, *until, tag.as_ref().map_or("", Tag::as_str)),
        RecordState::Deleted => (1, 0, ""),
    };
    let mut bytes = Vec::with_capacity(136);
    bytes.extend_from_slice(&bytes_of(key));
    bytes.push(kind);
    let Stamp { time, node } = record.stamp;
    for number in [time, node.0, until, record.covers, record.revokes] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(tag.as_bytes());
    XxHash3_64::oneshot(&bytes)
}

#[cfg(test)]
mod tests {
    use couic_common::Policy;

    use super::*;
    use crate::NodeId;

    fn record(state: RecordState, covers: u64) -> Record {
        let stamp = Stamp {
            time: 1_000 << 16,
            node: NodeId(1),
        };
        Record {
            stamp,
            state,
            covers,
            revokes: 0,
        }
    }

    #[test]
    fn a_register_is_kept_while_an_older_write_could_come_back() {
        let live = |until, covers| record(RecordState::Live { tag: None, until }, covers);
        assert_eq!(record(RecordState::Deleted, 0).ends(500, 0), 1_500);
        assert_eq!(live(NEVER, 0).ends(500, -7), NEVER);
        assert_eq!(live(1_200, 0).ends(500, 0), 1_200, "nothing to cover");
        assert_eq!(live(1_200, 0).ends(500, 300), 1_500, "by this clock");
        assert_eq!(live(1_200, 1_300).ends(500, 0), 1_300);
        assert_eq!(live(1_200, NEVER).ends(500, 0), 1_500);
        assert_eq!(live(9_000, NEVER).ends(500, 0), 9_000);
    }

    /// The number fits in where there was nothing: a million registers without a reason cost nothing.
    #[test]
    fn a_reason_makes_no_register_larger() {
        type Without = (Record, i64, PeerId, [bool; 4]);
        assert_eq!(size_of::<Slot>(), size_of::<Without>());
    }

    #[test]
    fn keys_differ_by_policy_family_and_length() {
        let parse = |text: &str| text.parse::<Cidr>().unwrap();
        let keys = [
            RuleKey::new(Policy::Drop, parse("10.0.0.0/8")),
            RuleKey::new(Policy::Ignore, parse("10.0.0.0/8")),
            RuleKey::new(Policy::Drop, parse("10.0.0.0/9")),
            RuleKey::new(Policy::Drop, parse("a00::/8")),
        ];
        let mut all: Vec<_> = keys.into_iter().map(bytes_of).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), keys.len());
    }

    #[test]
    fn a_digest_covers_the_whole_content() {
        let key = RuleKey::new(Policy::Drop, "10.0.0.0/8".parse().unwrap());
        let live = |tag: &str, until| RecordState::Live {
            tag: Tag::parse(tag).unwrap(),
            until,
        };
        let mut revoking = record(RecordState::Deleted, 0);
        revoking.revokes = 7;
        let mut all: Vec<_> = [
            (RecordState::Deleted, 0),
            (live("", 5), 0),
            (live("a", 5), 0),
            (live("a", 6), 0),
            (live("a", 6), 1),
        ]
        .map(|(state, covers)| digest_of(key, &record(state, covers)))
        .into();
        all.push(digest_of(key, &revoking));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6);
    }
}
