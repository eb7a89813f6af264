//! The nodes that share rules with this one, as seen from outside.

use serde::{Deserialize, Serialize};

use crate::ClientName;

/// Where things stand with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// It has not answered yet.
    Connecting,
    /// It answers; what differs is being exchanged.
    Syncing,
    /// It holds the same rules.
    InSync,
    /// A Couic 1.0: it is told what changes here, and cannot be compared with.
    Plain,
    /// It does not answer as it should.
    Failing,
    /// It sends to this node, which is not configured to send to it.
    Inbound,
}

/// What went wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeerProblem {
    /// Unix seconds.
    pub at: u64,
    /// For people.
    pub message: String,
}

/// One peer: an entry of the answer of `GET /v1/peers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeerInfo {
    /// What it is called: `name` in the configuration, and the name of the client whose token it uses here.
    pub name: ClientName,
    /// Host and port, where it is configured.
    pub endpoint: Option<String>,
    /// Where things stand.
    pub state: PeerState,
    /// Rules here that came from it.
    pub rules: u64,
    /// Changes that wait to be sent to it.
    pub queue: u64,
    /// For how long the oldest of them has been waiting, in milliseconds.
    pub lag_ms: u64,
    /// Rules that differed at the last comparison.
    pub differing: u64,
    /// Ranges of rules that differ for good, because one side does not accept them.
    pub refused_ranges: u64,
    /// Changes that were sent to it.
    pub sent: u64,
    /// Changes that it did not accept.
    pub refused: u64,
    /// Changes that were received from it.
    pub received: u64,
    /// Changes from it that were not accepted here.
    pub not_accepted: u64,
    /// By how much its clock is ahead of this machine's, in milliseconds, where that is known.
    pub clock_ahead_ms: Option<i64>,
    /// When it last answered, Unix seconds; 0 = never.
    pub last_answer: u64,
    /// When it last held the very same rules, Unix seconds; 0 = never.
    pub last_equal: u64,
    /// What went wrong last.
    pub last_error: Option<PeerProblem>,
}

/// Answer of `DELETE /v1/peers/{client}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeerForgotten {
    /// How many of its rules were removed.
    pub removed: u64,
}

/// A peer that wants attention, in the answer of `GET /v1/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeerHealth {
    /// The peer.
    pub name: ClientName,
    /// Since when it has not answered, Unix seconds; 0 = since the start.
    pub since: u64,
    /// Why, for people.
    pub problem: String,
}
