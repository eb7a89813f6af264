//! The guard rails by name, as refusals, `--force=RAIL` and the configuration say them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A guard rail: a kind of thing that a change of rules must not cut off, or must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Rail {
    /// The source of the caller's SSH session, or what else the request asks to protect.
    Caller,
    /// The addresses of this host.
    Host,
    /// The default gateways.
    Gateway,
    /// The configured peers.
    Peer,
    /// The name servers of `/etc/resolv.conf`.
    Resolver,
    /// The hosts of webhooks and chats.
    Notifier,
    /// Loopback, DHCP, neighbour discovery, the cloud's metadata service.
    Special,
    /// Prefixes that cover a large part of the Internet, in drop or in ignore.
    Width,
}

impl Rail {
    /// All, in the order in which they are asked.
    pub const ALL: [Self; 8] = [
        Self::Caller,
        Self::Host,
        Self::Gateway,
        Self::Peer,
        Self::Resolver,
        Self::Notifier,
        Self::Special,
        Self::Width,
    ];

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Host => "host",
            Self::Gateway => "gateway",
            Self::Peer => "peer",
            Self::Resolver => "resolver",
            Self::Notifier => "notifier",
            Self::Special => "special",
            Self::Width => "width",
        }
    }

    /// All names, for messages.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for Rail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no guard rail of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no guard rail; there are {names}", names = Rail::names())]
pub struct RailError(String);

impl FromStr for Rail {
    type Err = RailError;

    fn from_str(text: &str) -> Result<Self, RailError> {
        let found = Self::ALL.into_iter().find(|rail| rail.as_str() == text);
        found.ok_or_else(|| RailError(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_everywhere() {
        for rail in Rail::ALL {
            assert_eq!(rail.as_str().parse(), Ok(rail));
            let json = serde_json::to_string(&rail).unwrap();
            assert_eq!(json, format!("\"{rail}\""));
        }
        let error = "hosts".parse::<Rail>().unwrap_err().to_string();
        assert!(
            error.starts_with("\"hosts\" is no guard rail; there are caller, host,"),
            "{error}"
        );
    }
}
