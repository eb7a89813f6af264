//! Many changes in one call, each judged by itself.

use serde::{Deserialize, Serialize};

use crate::{ErrorCode, GuardRequest, Metadata, PeerAction};

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchJob {
    /// Add or remove.
    pub action: PeerAction,
    /// The entry meant.
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
    /// The label; empty means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Handed through to reports, untouched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Add the rule although a guard rail objects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Ask for the guard rails, whether or not the daemon enforces them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardRequest>,
}

/// What a batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchOutcome {
    /// Entries that are new.
    pub added: u64,
    /// Entries whose tag or expiration changed.
    pub updated: u64,
    /// Jobs that found all as they wanted it.
    pub unchanged: u64,
    /// Entries that were taken away.
    pub removed: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// The failed jobs, the first 1,000 of them.
    pub failures: Vec<BatchFailure>,
}

/// A job of a batch that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchFailure {
    /// Where in the batch, counted from 0.
    pub index: u64,
    /// The CIDR as it was sent, where the job could be read.
    pub cidr: Option<String>,
    /// What kind of failure.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
}

/// Answer to the removal of entries by tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemovedByTag {
    /// How many entries were removed.
    pub removed: u64,
}
