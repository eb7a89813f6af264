//! Lookup: the verdict for packets from an address, and the rules behind it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Entry, Policy};

/// The verdict of the data plane for a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Passed: no rule covers the source, a rule of policy ignore does, or the panic switch is on.
    Pass,
    /// Dropped.
    Drop,
}

/// Response of `GET /v1/lookup/{ip}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lookup {
    /// The requested address.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub ip: IpAddr,
    /// The verdict for its packets.
    pub verdict: Verdict,
    /// The rule that decides, and under whose tag packets are counted. Null if no rule covers the address, and while
    /// the panic switch is on.
    pub decided_by: Option<LookupRule>,
    /// Every other rule that covers the address: ignore before drop, longest prefix first. While the panic switch is
    /// on, the first is the one that would decide without it.
    pub also_covered_by: Vec<LookupRule>,
    /// Whether the panic switch is on: every packet passes, and no rule decides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub panic: bool,
}

/// A rule with its policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LookupRule {
    /// The policy of the rule.
    pub policy: Policy,
    /// The rule.
    #[serde(flatten)]
    pub entry: Entry,
}
