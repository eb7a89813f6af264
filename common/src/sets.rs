//! Wire format of static sets.

use serde::{Deserialize, Serialize};

use crate::{Cidr, GuardRequest, Policy, Rail, SetName, SetProblem};

/// A set in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetSummary {
    /// The name: the file name without `.couic`.
    pub name: SetName,
    /// Number of distinct CIDRs in the file.
    pub entry_count: u64,
    /// The size of the file in bytes.
    pub file_size: u64,
}

/// A set with its entries, in requests and responses. Not yet validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetBody {
    /// The name: 1 to 48 of `[A-Za-z0-9_-]`.
    pub name: String,
    /// CIDRs.
    pub entries: Vec<String>,
    /// Write the set even if a guard rail rejects an entry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Apply the guard rails, whether or not the daemon enforces them by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardRequest>,
}

/// New contents of a set. Not yet validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetUpdate {
    /// The name. If given, it must be that of the path: renaming is not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// CIDRs.
    pub entries: Vec<String>,
    /// Write the set even if a guard rail rejects an entry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Apply the guard rails, whether or not the daemon enforces them by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardRequest>,
}

/// Response to the deletion of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetDeleted {
    /// Always true.
    pub deleted: bool,
    /// Whether the rules stay until the next reload: false with `apply`.
    pub reload_required: bool,
}

/// Response to a list that was written as a set, and to every change of a set with `apply`. It does not repeat the entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetWritten {
    /// The name.
    pub name: SetName,
    /// Number of distinct CIDRs in the file.
    pub entry_count: u64,
    /// The size of the file in bytes.
    pub file_size: u64,
    /// Whether the rules follow the file already. If not, they do at the next reload.
    pub applied: bool,
    /// Entries that came into force; 0 without `apply`.
    pub added: u64,
    /// Entries that are no longer in force; 0 without `apply`.
    pub removed: u64,
    /// Number of entries that a guard rail keeps out of force; 0 without `apply`.
    #[serde(default)]
    pub refused_count: u64,
    /// The first 1,000 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedSetEntry>,
    /// What looks like a mistake, but was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Response to a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReloadStatus {
    /// `OK`: the set files are in force, but for `refused`.
    pub reload_status: String,
    /// Files in the folders of sets that were not read, because of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SetProblem>,
    /// The first 1,000 entries that a guard rail keeps out of force. All others are in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedSetEntry>,
    /// What looks like a mistake, but was loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// An entry of a set file that is not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefusedSetEntry {
    /// The policy of the file's folder.
    pub policy: Policy,
    /// The file's name.
    pub file: String,
    /// The entry.
    pub cidr: Cidr,
    /// The guard rail.
    pub rail: Rail,
    /// What it would do.
    pub message: String,
}
