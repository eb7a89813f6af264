//! Static sets: the wire forms.

use serde::{Deserialize, Serialize};

use crate::{GuardRequest, SetName};

/// A set in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetSummary {
    /// The name: that of the file without `.couic`.
    pub name: SetName,
    /// How many distinct CIDRs the file holds.
    pub entry_count: u64,
    /// The size of the file in bytes.
    pub file_size: u64,
}

/// A set with its entries: what is sent and what is answered. Values not yet judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetBody {
    /// The name: 1 to 48 of `[A-Za-z0-9_-]`.
    pub name: String,
    /// CIDRs.
    pub entries: Vec<String>,
    /// Write the set although a guard rail objects to an entry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Ask for the guard rails, whether or not the daemon enforces them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardRequest>,
}

/// New contents for a set. Values not yet judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetUpdate {
    /// The name, where it is given: that of the path. Renaming is not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// CIDRs.
    pub entries: Vec<String>,
    /// Write the set although a guard rail objects to an entry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Ask for the guard rails, whether or not the daemon enforces them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardRequest>,
}

/// Answer to the deletion of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetDeleted {
    /// Always true.
    pub deleted: bool,
    /// Always true: the rules live until the next reload.
    pub reload_required: bool,
}

/// Answer to a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReloadStatus {
    /// `OK`.
    pub reload_status: String,
}
