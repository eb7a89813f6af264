//! The panic switch: everything passes.

use serde::{Deserialize, Serialize};

use crate::ClientName;

/// Header of every answer while the panic switch is on: `couic-panic: on`.
pub const PANIC_HEADER: &str = "couic-panic";

/// Body of `PUT /v1/panic`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PanicRequest {
    /// true lets every packet pass from now on, false has the rules hold again.
    pub on: bool,
    /// Why, in the operator's words: at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer of `GET` and `PUT /v1/panic`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PanicStatus {
    /// Whether every packet passes, whatever the rules say.
    pub on: bool,
    /// Who switched last, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ClientName>,
    /// When, Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Why it was switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What keeps the state from surviving a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
