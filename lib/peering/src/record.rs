//! One register: the last write to a CIDR of a policy.

use couic_common::{Cidr, RuleKey, Tag};
use twox_hash::XxHash3_64;

use crate::Stamp;

/// The expiration of rules that never expire.
pub const NEVER: u64 = u64::MAX;

/// The content of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// There is such a rule.
    Live {
        /// Its label.
        tag: Option<Tag>,
        /// Expiration: Unix milliseconds by the clock of the host that holds the register, or [`NEVER`].
        until: u64,
    },
    /// The rule was deleted.
    Deleted,
}

/// The last write to a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Time and node of the write.
    pub stamp: Stamp,
    /// A rule, or its deletion.
    pub state: RecordState,
    /// Until when a write that this one replaced could still be in force on a node that has not heard of this one.
    /// If that is later than the end of the rule itself, the register is kept as a tombstone until then. 0 = none.
    pub covers: u64,
}

impl Record {
    /// Whether the rule is in force at this time (Unix ms).
    #[must_use]
    pub const fn is_live(&self, wall: u64) -> bool {
        matches!(self.state, RecordState::Live { until, .. } if until > wall)
    }

    /// Time at which the register can be forgotten, Unix milliseconds.
    #[must_use]
    pub fn ends(&self, lifetime: u64) -> u64 {
        let grave = self.stamp.ms().saturating_add(lifetime);
        match self.state {
            RecordState::Live { until, .. } => until.max(grave.min(self.covers)),
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
pub(crate) fn leaf_of(key: RuleKey) -> u16 {
    let hash = XxHash3_64::oneshot(&bytes_of(key));
    (hash >> 48) as u16
}

/// The digest of a register. Stamps are unique, so the stamp represents the content.
pub(crate) fn digest_of(key: RuleKey, stamp: Stamp) -> u64 {
    let mut bytes = [0; 34];
    bytes[..18].copy_from_slice(&bytes_of(key));
    bytes[18..26].copy_from_slice(&stamp.time.to_be_bytes());
    bytes[26..].copy_from_slice(&stamp.node.0.to_be_bytes());
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
        }
    }

    #[test]
    fn a_register_is_kept_while_an_older_write_could_come_back() {
        let live = |until, covers| record(RecordState::Live { tag: None, until }, covers);
        assert_eq!(record(RecordState::Deleted, 0).ends(500), 1_500);
        assert_eq!(live(NEVER, 0).ends(500), NEVER);
        assert_eq!(live(1_200, 0).ends(500), 1_200, "nothing to cover");
        assert_eq!(live(1_200, 1_300).ends(500), 1_300);
        assert_eq!(live(1_200, NEVER).ends(500), 1_500);
        assert_eq!(live(9_000, NEVER).ends(500), 9_000);
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
}
