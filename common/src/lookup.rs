//! What would happen to a packet from an address, and why.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Entry, Policy};

/// What the data plane answers for a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Let through: no rule covers the source, one of policy ignore does, or the panic switch is on.
    Pass,
    /// Dropped.
    Drop,
}

/// Answer of `GET /v1/lookup/{ip}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lookup {
    /// The address asked for.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub ip: IpAddr,
    /// What happens to its packets.
    pub verdict: Verdict,
    /// The rule that decides, and under whose tag packets count. Null where no rule covers the address, and while the
    /// panic switch is on.
    pub decided_by: Option<LookupRule>,
    /// Every other rule that covers the address: ignore before drop, longest prefix first. While the panic switch is on,
    /// the first would decide without it.
    pub also_covered_by: Vec<LookupRule>,
    /// The panic switch is on: every packet passes, and no rule decides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub panic: bool,
}

/// A rule with its policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LookupRule {
    /// What the rule wants.
    pub policy: Policy,
    /// The rule.
    #[serde(flatten)]
    pub entry: Entry,
}
