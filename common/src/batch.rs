//! Batches: many changes in one call, each validated on its own.

use serde::{Deserialize, Serialize};

use crate::{ErrorCode, GuardRequest, Metadata, PeerAction, Rail};

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchJob {
    /// Add or remove.
    pub action: PeerAction,
    /// The entry to add or remove.
    pub entry: BatchRule,
}

/// The entry of a batch job. Unlike in an `EntryRequest`, only the CIDR is required.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchRule {
    /// `ADDRESS/PREFIX`; host bits are masked.
    pub cidr: String,
    /// Unix seconds, in the future; 0 = never.
    #[serde(default)]
    pub expiration: u64,
    /// The label; empty means none. With a removal, only the client's claim of this label is released; `untagged`
    /// stands for the one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Passed through to reports unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Add the rule even if a guard rail rejects it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Apply the guard rails, whether or not the daemon enforces them by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardRequest>,
    /// Seconds from now until the entry expires, in place of `expiration`: see `EntryRequest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// Add only: never shorten this client's claim with that tag. Of its expiration and this one the later stays, and a job
    /// that changes nothing else counts as `unchanged`. Daemons before 2.0 ignore it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub longer: bool,
}

/// The result of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchOutcome {
    /// Entries that are new.
    pub added: u64,
    /// Entries whose tag or expiration changed.
    pub updated: u64,
    /// Jobs that had nothing to change.
    pub unchanged: u64,
    /// Entries that were removed.
    pub removed: u64,
    /// Entries that the client released and other claims still hold, so that they stay in force.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub released: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// The first 1,000 failed jobs.
    pub failures: Vec<BatchFailure>,
}

/// A job of a batch that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchFailure {
    /// Position in the batch, counted from 0.
    pub index: u64,
    /// The CIDR as sent, if the job could be parsed.
    pub cidr: Option<String>,
    /// The kind of failure.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
    /// The guard rail that refuses it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rail: Option<Rail>,
}

/// Response to the removal of entries by tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemovedByTag {
    /// How many entries were removed.
    pub removed: u64,
    /// How many entries the client released and other claims still hold, so that they stay in force.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub released: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
