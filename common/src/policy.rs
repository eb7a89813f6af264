//! The policy of a rule: drop or ignore.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The treatment of packets from the sources that a rule covers. `Ignore` takes precedence over `Drop`, whatever the
/// prefix lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Packets are dropped in the driver.
    Drop,
    /// Packets are never dropped.
    Ignore,
}

/// The text is neither `drop` nor `ignore` (case matters).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown policy: it is drop or ignore")]
pub struct PolicyError;

impl Policy {
    /// Both policies in order of precedence, which is also the order in which rules are loaded.
    pub const ALL: [Self; 2] = [Self::Ignore, Self::Drop];

    /// The name on the wire and in paths.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Ignore => "ignore",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        match text {
            "drop" => Ok(Self::Drop),
            "ignore" => Ok(Self::Ignore),
            _ => Err(PolicyError),
        }
    }
}
