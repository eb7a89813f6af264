//! Static sets: the wire forms.

use serde::{Deserialize, Serialize};

use crate::SetName;

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
