//! The panic switch, which lets every packet pass.

use serde::{Deserialize, Serialize};

use crate::ClientName;

/// Header of every response while the panic switch is on: `couic-panic: on`.
pub const PANIC_HEADER: &str = "couic-panic";

/// Body of `PUT /v1/panic`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PanicRequest {
    /// true lets every packet pass, false puts the rules back in force.
    pub on: bool,
    /// The operator's reason: at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Response of `GET` and `PUT /v1/panic`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PanicStatus {
    /// Whether every packet passes, regardless of the rules.
    pub on: bool,
    /// The client that last operated the switch, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ClientName>,
    /// Time of that change, Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The reason for turning it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why the state would not survive a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
