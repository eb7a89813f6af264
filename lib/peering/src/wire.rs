//! What two nodes say to each other, as JSON. The policy is part of the path.
//!
//! Times are Unix milliseconds. In a push they are by the sender's clock, with the gap to the receiver's that the
//! sender has measured; in the answer to a pull they are by the answering node's clock, and the one who asked
//! translates.

use couic_common::{Cidr, Tag};
use serde::{Deserialize, Serialize};

use crate::{Moment, NodeId, Record, RegisterState, Replica, Stamp, record::NEVER};

/// How many registers the answer to a pull has at most, unless one leaf alone has more.
pub const MAX_PULL: usize = 10_000;

/// Who speaks, and what its clocks show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Face {
    /// The node, for as long as it runs.
    pub node: NodeId,
    /// Its wall clock.
    pub wall: u64,
    /// Its logical clock, in the form of a stamp's time.
    pub clock: u64,
}

impl Face {
    /// Of this node, now.
    pub fn of<L>(replica: &mut Replica<L>, now: Moment) -> Self {
        Self {
            node: replica.node(),
            wall: now.wall,
            clock: replica.hlc().time(now),
        }
    }
}

/// Which digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// The one of everything.
    Root,
    /// Of the 256 branches.
    Branches,
    /// Of the 256 leaves of each of these branches.
    Leaves(Vec<u8>),
}

/// Body of `POST /v1/{policy}/digest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DigestRequest {
    /// Who asks.
    pub from: Face,
    /// For what.
    pub of: Of,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DigestAnswer {
    /// Who answers.
    pub from: Face,
    /// Whether registers of this policy are shared with the one who asks.
    pub accepts: bool,
    /// How many registers there are.
    pub records: u64,
    /// In the order of what was asked for.
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

    /// What a node answers that does not share this policy with the one who asks.
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
    /// Who asks.
    pub from: Face,
    /// Ranges of leaves, both ends included, in rising order.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Vec<u16>>))]
    pub leaves: Vec<(u16, u16)>,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PullAnswer {
    /// Who answers.
    pub from: Face,
    /// The registers in these leaves.
    pub records: Vec<WireRecord>,
    /// The first leaf that did not fit any more; None where all are there.
    pub next: Option<u16>,
}

impl PullAnswer {
    /// The registers in these leaves of a replica that `shown` names.
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
    /// Who sends.
    pub from: Face,
    /// By how many milliseconds the receiver's wall clock is ahead of the sender's.
    pub gap: i64,
    /// The registers.
    pub records: Vec<WireRecord>,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PushAnswer {
    /// Who answers.
    pub from: Face,
    /// How many of the registers were dealt with, from the first one. The rest is to be sent again.
    pub taken: u64,
    /// How long to wait before that, in milliseconds.
    pub wait_ms: u64,
    /// How many of them were not accepted. Sending them again will not help.
    pub refused: u64,
    /// Why the first one was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A register on its way. Values are not judged yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WireRecord {
    /// `ADDRESS/PREFIX`.
    pub cidr: String,
    /// The time of its stamp.
    pub time: u64,
    /// The node of its stamp.
    pub node: NodeId,
    /// When the rule ends, 0 = never. Missing where it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Until when something that it replaced may be in force elsewhere; 0 = nothing, 1 = for ever.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub covers: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde calls"
)]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// For ever, as `covers` says it.
const FOR_EVER: u64 = 1;

impl WireRecord {
    /// For the wire.
    #[must_use]
    pub fn new(cidr: Cidr, record: &Record) -> Self {
        let (until, tag) = match &record.state {
            RegisterState::Deleted => (None, None),
            RegisterState::Live { tag, until } => {
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
                FOR_EVER
            } else {
                record.covers
            },
        }
    }
}

impl WireRecord {
    /// Judges the values, and translates times by `gap` milliseconds.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn read(&self, gap: i64) -> Result<(Cidr, Record), String> {
        let said = |e: &dyn std::fmt::Display| {
            let cidr: String = self.cidr.chars().take(64).collect();
            format!("{cidr:?}: {e}")
        };
        let cidr: Cidr = self.cidr.parse().map_err(|e| said(&e))?;
        let shifted = |ms: u64| ms.saturating_add_signed(gap).clamp(2, NEVER - 1);
        let state = match self.until {
            None => RegisterState::Deleted,
            Some(until) => RegisterState::Live {
                tag: Tag::parse(self.tag.as_deref().unwrap_or_default()).map_err(|e| said(&e))?,
                until: if until == 0 { NEVER } else { shifted(until) },
            },
        };
        let covers = match self.covers {
            0 => 0,
            FOR_EVER => NEVER,
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

    fn record(state: RegisterState, covers: u64) -> Record {
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
            (RegisterState::Deleted, 0),
            (
                RegisterState::Live {
                    tag: None,
                    until: NEVER,
                },
                NEVER,
            ),
            (
                RegisterState::Live {
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
            RegisterState::Live {
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
    fn what_is_wrong_is_said() {
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
