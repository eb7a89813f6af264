//! The exchange of registers that differ, in pages: an answer is bounded in number, whatever a leaf holds.

use couic_common::{Cidr, Policy};
use serde::{Deserialize, Serialize};

use super::{Face, WireRecord};
use crate::{
    Moment, Replica,
    replica::{Place, place},
};

/// Maximum number of registers in the response to a pull: some 500 KB.
pub const MAX_PULL: usize = 4_000;

/// Maximum number of ranges that are looked at.
const MAX_RANGES: usize = 1_024;

/// A place in the order of registers, which is the same on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Mark {
    /// The leaf.
    pub leaf: u16,
    /// The network in it.
    pub cidr: String,
    /// The machine whose register it is.
    pub author: u32,
}

impl Mark {
    pub(crate) fn new((leaf, cidr, author): Place) -> Self {
        let cidr = cidr.to_string();
        Self { leaf, cidr, author }
    }

    pub(crate) fn place(&self) -> Option<Place> {
        let cidr: Cidr = self.cidr.parse().ok()?;
        Some((self.leaf, cidr, self.author))
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
    /// Registers up to this one were answered already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Mark>,
}

/// Response of `POST /v1/{policy}/pull`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PullAnswer {
    /// The responder.
    pub from: Face,
    /// The registers in these leaves.
    pub records: Vec<WireRecord>,
    /// The last register, if there may be more; None if the response is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Mark>,
}

impl PullAnswer {
    /// The registers in these leaves of a replica.
    #[must_use]
    pub fn of(replica: &Replica, policy: Policy, request: &PullRequest, now: Moment) -> Self {
        let mut records = Vec::new();
        let mut last = None;
        let after = request.after.as_ref().and_then(Mark::place);
        'all: for range in request.leaves.iter().take(MAX_RANGES) {
            for (_, id, slot) in replica.after(policy, *range, after) {
                records.push(WireRecord::new(id.key.cidr, slot, replica.reason(slot)));
                if records.len() >= MAX_PULL {
                    last = Some(Mark::new(place(id)));
                    break 'all;
                }
            }
        }
        Self {
            from: Face::of(replica, now),
            records,
            last,
        }
    }

    /// The response of a node that does not share this policy with the requester.
    #[must_use]
    pub const fn declined(replica: &Replica, now: Moment) -> Self {
        Self {
            from: Face::of(replica, now),
            records: Vec::new(),
            last: None,
        }
    }
}
