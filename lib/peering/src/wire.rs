//! Messages between nodes, as JSON. The policy is part of the path.
//!
//! Times of a register are Unix milliseconds by its author's clock, with the shift to the sender's clock; a push has the
//! gap to the receiver's clock as measured by the sender, and the node that pulls measures it itself.

mod pull;
mod record;

use serde::{Deserialize, Serialize};

pub use pull::{MAX_PULL, Mark, PullAnswer, PullRequest};
pub use record::WireRecord;

use crate::{MAX_AHEAD, Moment, NodeId, Replica};

/// The version of these messages. Nodes of different versions do not share rules.
pub const PROTOCOL: u16 = 2;

/// The sender of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Face {
    /// The node.
    pub node: NodeId,
    /// Its wall clock.
    pub wall: u64,
    /// The version of its messages; 0 = from before versions were told.
    #[serde(default)]
    pub protocol: u16,
}

/// Why nothing is exchanged with a node. Begins with what is wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Its wall clock.
    #[error("clock is {} min ahead of the other node's: set both clocks (NTP), they may differ by an hour", .by_ms / 60_000)]
    Ahead {
        /// The offset in milliseconds.
        by_ms: u64,
    },
    /// Its version.
    #[error(
        "version of the peering protocol is {theirs}, the other node's {PROTOCOL}: run the same version of couic on both"
    )]
    Protocol {
        /// The version it speaks.
        theirs: u16,
    },
    /// Its number.
    #[error(
        "machine number is the other node's, too, as after copying a machine: remove peering-machine from [server] \
         working_dir on one of them and restart couic there"
    )]
    Copied,
}

impl Face {
    /// This node, now.
    #[must_use]
    pub const fn of(replica: &Replica, now: Moment) -> Self {
        Self {
            node: replica.node(),
            wall: now.wall,
            protocol: PROTOCOL,
        }
    }

    /// Whether this node, `me`, exchanges registers with the sender.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn check(&self, me: NodeId, now: Moment) -> Result<(), Unfit> {
        if self.protocol != PROTOCOL {
            let theirs = self.protocol;
            return Err(Unfit::Protocol { theirs });
        }
        if self.node.machine() == me.machine() {
            return Err(Unfit::Copied);
        }
        let by_ms = self.wall.saturating_sub(now.wall);
        if by_ms > MAX_AHEAD {
            return Err(Unfit::Ahead { by_ms });
        }
        Ok(())
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
    #[must_use]
    pub fn of(replica: &Replica, policy: couic_common::Policy, of: &Of, now: Moment) -> Self {
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
    #[must_use]
    pub const fn declined(replica: &Replica, now: Moment) -> Self {
        Self {
            from: Face::of(replica, now),
            accepts: false,
            records: 0,
            digests: Vec::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_judged_by_its_wall_clock_version_and_number() {
        let me = NodeId::started(7, 1);
        let now = Moment {
            wall: 1_800_000_000_000,
            mono: 0,
        };
        let face = |machine, ahead: u64, protocol| Face {
            node: NodeId::started(machine, 9),
            wall: now.wall + ahead,
            protocol,
        };
        let check = |face: Face| face.check(me, now);
        assert_eq!(check(face(8, MAX_AHEAD, PROTOCOL)), Ok(()));
        let ahead = check(face(8, MAX_AHEAD + 60_000, PROTOCOL)).unwrap_err();
        assert!(ahead.to_string().contains("61 min ahead"), "{ahead}");
        assert_eq!(check(face(7, 0, PROTOCOL)), Err(Unfit::Copied));
        let old: Face =
            serde_json::from_str(r#"{"node":"0000000800000001","wall":1,"clock":7}"#).unwrap();
        let old = check(old).unwrap_err();
        assert!(old.to_string().contains("the same version"), "{old}");
    }
}
