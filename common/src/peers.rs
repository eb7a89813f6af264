//! Peers: the nodes that share rules with this one.

use serde::{Deserialize, Serialize};

use crate::ClientName;

/// The state of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// It has not responded yet.
    Connecting,
    /// It responds; differences are being exchanged.
    Syncing,
    /// It holds the same rules.
    InSync,
    /// A Couic 1.0 node: it receives local changes, and its rules cannot be compared.
    Plain,
    /// It does not respond as it should.
    Failing,
    /// It responds, but peering is not enabled there: nothing is sent to it, and it is asked again every few seconds.
    NotEnabled,
    /// It sends to this node, but is not configured as a peer here.
    Inbound,
}

/// The last error of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeerProblem {
    /// Unix seconds.
    pub at: u64,
    /// Human-readable description.
    pub message: String,
}

/// One peer: an element of the response of `GET /v1/peers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeerInfo {
    /// Its name: `name` in the configuration, and the name of the client whose token it uses here.
    pub name: ClientName,
    /// Host and port, if it is configured.
    pub endpoint: Option<String>,
    /// Its state.
    pub state: PeerState,
    /// Local rules that came from it.
    pub rules: u64,
    /// Changes queued for it.
    pub queue: u64,
    /// Age of the oldest queued change, in milliseconds.
    pub lag_ms: u64,
    /// Rules that differed at the last comparison.
    pub differing: u64,
    /// Ranges of rules that keep differing because one side rejects them.
    pub refused_ranges: u64,
    /// Changes sent to it.
    pub sent: u64,
    /// Changes that it rejected.
    pub refused: u64,
    /// Changes received from it.
    pub received: u64,
    /// Changes from it that this node rejected.
    pub not_accepted: u64,
    /// Offset of its clock from this machine's, in milliseconds, positive if it is ahead; null if unknown.
    pub clock_ahead_ms: Option<i64>,
    /// Time of its last response, Unix seconds; 0 = never.
    pub last_answer: u64,
    /// Time at which it last held the same rules, Unix seconds; 0 = never.
    pub last_equal: u64,
    /// Its last error.
    pub last_error: Option<PeerProblem>,
}

/// Response of `DELETE /v1/peers/{client}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeerForgotten {
    /// Number of its rules that were removed.
    pub removed: u64,
}

/// A peer that needs attention, in the response of `GET /v1/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeerHealth {
    /// Its name.
    pub name: ClientName,
    /// Time of its last response, Unix seconds; 0 = none since the start.
    pub since: u64,
    /// Human-readable description, phrased to follow the name: it does not respond, or its share is full.
    pub problem: String,
}
