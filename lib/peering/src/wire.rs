//! Messages between nodes, as JSON. The policy is part of the path.
//!
//! Times are Unix milliseconds. In a push they are by the sender's clock, with the gap to the receiver's clock as
//! measured by the sender; in the response to a pull they are by the responder's clock, and the requester translates
//! them.

use couic_common::{Cidr, Tag};
use serde::{Deserialize, Serialize};

use crate::{Moment, NodeId, Record, RecordState, Replica, Stamp, record::NEVER};

/// Maximum number of registers in the response to a pull, unless a single leaf has more.
pub const MAX_PULL: usize = 10_000;

/// The sender of a message, and its clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Face {
    /// The node.
    pub node: NodeId,
    /// Its wall clock.
    pub wall: u64,
    /// Its logical clock, in the form of a stamp's time.
    pub clock: u64,
}

impl Face {
    /// This node, now.
    pub fn of<L>(replica: &mut Replica<L>, now: Moment) -> Self {
        Self {
            node: replica.node(),
            wall: now.wall,
            clock: replica.hlc().time(now),
        }
    }
}

/// The requested digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// The digest of all registers.
    Root,
    /// Those of the 256 branches.
    Branches,
    /// Those of the 256 leaves of each of these branches.
    Leaves(Vec<u8>),
}

/// Body of `POST /v1/{policy}/digest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DigestRequest {
    /// The requester.
    pub from: Face,
    /// The requested digests.
    pub of: Of,
}

/// Response of `POST /v1/{policy}/digest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DigestAnswer {
    /// The responder.
    pub from: Face,
    /// Whether registers of this policy are shared with the requester.
    pub accepts: bool,
    /// Number of registers.
    pub records: u64,
    /// The digests, in the order of the request.
    pub digests: Vec<u64>,
}

impl DigestAnswer {
    /// The digests of a replica.
    pub fn of<L>(
        replica: &mut Replica<L>,
        policy: couic_common::Policy,
        of: &Of,
        now: Moment,
    ) -> Self {
        let tree = replica.tree(policy);
        let digests = match of {
            Of::Root => vec![tree.root()],
            Of::Branches => tree.branches().to_vec(),
            Of::Leaves(branches) => branches
                .iter()
                .take(256)
                .flat_map(|branch| tree.leaves_of(*branch))
                .copied()
                .collect(),
        };
        let records = replica.len(policy) as u64;
        Self {
            from: Face::of(replica, now),
            accepts: true,
            records,
            digests,
        }
    }

    /// The response of a node that does not share this policy with the requester.
    pub fn declined<L>(replica: &mut Replica<L>, now: Moment) -> Self {
        Self {
            from: Face::of(replica, now),
            accepts: false,
            records: 0,
            digests: Vec::new(),
        }
    }
}

/// Body of `POST /v1/{policy}/pull`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PullRequest {
    /// The requester.
    pub from: Face,
    /// Inclusive ranges of leaves, in ascending order.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Vec<u16>>))]
    pub leaves: Vec<(u16, u16)>,
}

/// Response of `POST /v1/{policy}/pull`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PullAnswer {
    /// The responder.
    pub from: Face,
    /// The registers in these leaves.
    pub records: Vec<WireRecord>,
    /// The first leaf that did not fit; None if the response is complete.
    pub next: Option<u16>,
}

impl PullAnswer {
    /// The registers in these leaves of a replica, as far as `shown` selects them.
    pub fn of<L>(
        replica: &mut Replica<L>,
        policy: couic_common::Policy,
        leaves: &[(u16, u16)],
        now: Moment,
        shown: impl Fn(&crate::Slot<L>) -> bool,
    ) -> Self {
        let mut records = Vec::new();
        let mut next = None;
        'all: for range in leaves {
            let mut last = None;
            for (leaf, cidr, slot) in replica.in_leaves(policy, *range) {
                if records.len() >= MAX_PULL && last != Some(leaf) {
                    next = Some(leaf);
                    break 'all;
                }
                last = Some(leaf);
                if shown(slot) {
                    records.push(WireRecord::new(cidr, &slot.record));
                }
            }
        }
        Self {
            from: Face::of(replica, now),
            records,
            next,
        }
    }
}

/// Body of `POST /v1/{policy}/push`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PushRequest {
    /// The sender.
    pub from: Face,
    /// Offset of the receiver's wall clock from the sender's in milliseconds, positive if it is ahead.
    pub gap: i64,
    /// The registers.
    pub records: Vec<WireRecord>,
}

/// Response of `POST /v1/{policy}/push`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PushAnswer {
    /// The responder.
    pub from: Face,
    /// Number of registers processed, from the first. The rest has to be sent again.
    pub taken: u64,
    /// Time to wait before that, in milliseconds.
    pub wait_ms: u64,
    /// Number of these that were rejected. Sending them again will not help.
    pub refused: u64,
    /// The reason for the first rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A register in a message. Not yet validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WireRecord {
    /// `ADDRESS/PREFIX`.
    pub cidr: String,
    /// The time of its stamp.
    pub time: u64,
    /// The node of its stamp.
    pub node: NodeId,
    /// Expiration of the rule, 0 = never. Absent if the rule was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Time until which a replaced write may be in force on other nodes; 0 = none, 1 = forever.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub covers: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde requires"
)]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The value of `covers` for [`NEVER`].
const FOREVER: u64 = 1;

impl WireRecord {
    /// The message form of a register.
    #[must_use]
    pub fn new(cidr: Cidr, record: &Record) -> Self {
        let (until, tag) = match &record.state {
            RecordState::Deleted => (None, None),
            RecordState::Live { tag, until } => {
                let tag = tag.as_ref().map(|t| t.as_str().to_owned());
                (Some(if *until == NEVER { 0 } else { *until }), tag)
            }
        };
        let Stamp { time, node } = record.stamp;
        Self {
            cidr: cidr.to_string(),
            time,
            node,
            until,
            tag,
            covers: if record.covers == NEVER {
                FOREVER
            } else {
                record.covers
            },
        }
    }
}

impl WireRecord {
    /// Validates the values, and translates times by `gap` milliseconds.
    ///
    /// # Errors
    /// A description of the invalid value.
    pub fn read(&self, gap: i64) -> Result<(Cidr, Record), String> {
        let said = |e: &dyn std::fmt::Display| {
            let cidr: String = self.cidr.chars().take(64).collect();
            format!("{cidr:?}: {e}")
        };
        let cidr: Cidr = self.cidr.parse().map_err(|e| said(&e))?;
        let shifted = |ms: u64| ms.saturating_add_signed(gap).clamp(2, NEVER - 1);
        let state = match self.until {
            None => RecordState::Deleted,
            Some(until) => RecordState::Live {
                tag: Tag::parse(self.tag.as_deref().unwrap_or_default()).map_err(|e| said(&e))?,
                until: if until == 0 { NEVER } else { shifted(until) },
            },
        };
        let covers = match self.covers {
            0 => 0,
            FOREVER => NEVER,
            until => shifted(until),
        };
        let stamp = Stamp {
            time: self.time,
            node: self.node,
        };
        Ok((
            cidr,
            Record {
                stamp,
                state,
                covers,
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(state: RecordState, covers: u64) -> Record {
        Record {
            stamp: Stamp {
                time: 7 << 16,
                node: NodeId(9),
            },
            state,
            covers,
        }
    }

    #[test]
    fn registers_round_trip_and_times_are_translated() {
        let cidr: Cidr = "10.0.0.0/8".parse().unwrap();
        for (state, covers) in [
            (RecordState::Deleted, 0),
            (
                RecordState::Live {
                    tag: None,
                    until: NEVER,
                },
                NEVER,
            ),
            (
                RecordState::Live {
                    tag: Tag::parse("t").unwrap(),
                    until: 5_000,
                },
                9_000,
            ),
        ] {
            let before = record(state, covers);
            let text = serde_json::to_string(&WireRecord::new(cidr, &before)).unwrap();
            let read: WireRecord = serde_json::from_str(&text).unwrap();
            assert_eq!(read.read(0), Ok((cidr, before)), "{text}");
        }
        let finite = record(
            RecordState::Live {
                tag: None,
                until: 5_000,
            },
            9_000,
        );
        let (_, moved) = WireRecord::new(cidr, &finite).read(-1_000).unwrap();
        assert_eq!((moved.to_cover(), moved.ends(NEVER)), (8_000, 8_000));
        let (_, early) = WireRecord::new(cidr, &finite).read(i64::MIN).unwrap();
        assert!(!early.is_live(10));
    }

    #[test]
    fn invalid_registers_are_rejected() {
        for bad in [
            r#"{"cidr":"1.2.3.4","time":1,"node":"0000000000000001"}"#,
            r#"{"cidr":"1.0.0.0/8","time":1,"node":"0000000000000001","until":0,"tag":"x.couic"}"#,
            r#"{"cidr":"1.0.0.0/8","time":1,"node":"0000000000000001","until":0,"tag":"é"}"#,
        ] {
            let read: WireRecord = serde_json::from_str(bad).unwrap();
            assert!(read.read(0).is_err(), "{bad}");
        }
    }
}
