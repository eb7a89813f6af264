//! API clients and their groups.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ClientName;

/// A group of clients, which determines their rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Everything.
    Admin,
    /// Policies (except the peer routes) and sets, read and write.
    ClientRw,
    /// Policies and sets, read only.
    ClientRo,
    /// Statistics.
    Monitoring,
    /// The peer routes only.
    Peering,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 5] = [
        Self::Admin,
        Self::ClientRw,
        Self::ClientRo,
        Self::Monitoring,
        Self::Peering,
    ];

    /// The name on the wire and in client files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::ClientRw => "clientrw",
            Self::ClientRo => "clientro",
            Self::Monitoring => "monitoring",
            Self::Peering => "peering",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|g| g.as_str() == text)
            .ok_or_else(|| {
                "unknown group: it is admin, clientrw, clientro, monitoring or peering".to_owned()
            })
    }
}

/// A request for a new client, not yet validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClientRequest {
    /// 1 to 48 of `[A-Za-z0-9_-]`.
    pub name: String,
    /// One of the groups.
    pub group: String,
}

/// Maximum of [`RotateRequest::grace`]: a day.
pub const ROTATE_GRACE_MAX: u64 = 86_400;

/// A request for a new token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotateRequest {
    /// Seconds for which the old token is accepted, too; at most 86400. A restart of the daemon ends it early.
    #[serde(default)]
    pub grace: u64,
}

/// A client as the API shows it. `Debug` hides the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClientInfo {
    /// The name.
    pub name: ClientName,
    /// The group, which determines the rights.
    pub group: Group,
    /// The secret that the client sends as `Authorization: Bearer`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: Uuid,
}

impl fmt::Debug for ClientInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            group,
            token: _,
        } = self;
        f.debug_struct("ClientInfo")
            .field("name", name)
            .field("group", group)
            .finish_non_exhaustive()
    }
}
