//! Messages between nodes, as JSON. The policy is part of the path.
//!
//! Times are Unix milliseconds. In a push they are by the sender's clock, with the gap to the receiver's clock as
//! measured by the sender; in the response to a pull they are by the responder's clock, and the requester translates
//! them.

mod record;

use serde::{Deserialize, Serialize};

pub use record::WireRecord;

use crate::{Moment, NodeId, Replica};

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
