//! API clients and their groups.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::{ClientLimits, ClientName};

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
    /// What it may change, if not all that its group may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ClientLimits>,
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
    /// The secret that the client sends as `Authorization: Bearer`. It is shown when it is made. Later it is all zeros:
    /// the daemon keeps its hash only, but for the client `couicctl`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    #[serde(default, serialize_with = "or_nil", deserialize_with = "unless_nil")]
    pub token: Option<Uuid>,
    /// Time at which the token ends, Unix seconds; absent = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// What it may change, if not all that its group may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ClientLimits>,
    /// Whether the request was made with a token of this client; absent = no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
}

/// Programs that were written for Couic 1.0 expect a UUID.
fn or_nil<S: Serializer>(token: &Option<Uuid>, serializer: S) -> Result<S::Ok, S::Error> {
    token.unwrap_or_default().serialize(serializer)
}

fn unless_nil<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    let token = Option::<Uuid>::deserialize(deserializer)?;
    Ok(token.filter(|token| !token.is_nil()))
}

impl fmt::Debug for ClientInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            group,
            token: _,
            expires,
            limits,
            own: _,
        } = self;
        f.debug_struct("ClientInfo")
            .field("name", name)
            .field("group", group)
            .field("expires", expires)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_not_known_is_all_zeros_on_the_wire() {
        let hidden =
            r#"{"name":"web","group":"clientrw","token":"00000000-0000-0000-0000-000000000000"}"#;
        let info: ClientInfo = serde_json::from_str(hidden).unwrap();
        assert_eq!(info.token, None);
        assert_eq!(serde_json::to_string(&info).unwrap(), hidden);
        for other in [
            r#"{"name":"web","group":"clientrw","token":null}"#,
            r#"{"name":"web","group":"clientrw"}"#,
        ] {
            assert_eq!(serde_json::from_str::<ClientInfo>(other).unwrap(), info);
        }
        let shown = hidden.replace("000000000000", "000000000001");
        let info: ClientInfo = serde_json::from_str(&shown).unwrap();
        assert_eq!(info.token, Some(Uuid::from_u128(1)));
        assert_eq!(serde_json::to_string(&info).unwrap(), shown);
    }
}
