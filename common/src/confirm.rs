//! Changes that are undone unless they are confirmed in time.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ClientName;

/// Header of a request that changes something: undo the change after this many seconds unless it is confirmed.
pub const CONFIRM_WITHIN_HEADER: &str = "couic-confirm-within";

/// Header of the response to such a request: the id to confirm.
pub const CONFIRM_ID_HEADER: &str = "couic-confirm-id";

/// Header of the response to such a request: the deadline in Unix seconds, by the daemon's clock.
pub const CONFIRM_UNTIL_HEADER: &str = "couic-confirm-until";

/// The longest time to confirm, in seconds: one day.
pub const CONFIRM_WITHIN_MAX: u64 = 86_400;

/// Identifies a change that awaits confirmation: eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfirmId(u32);

/// The text is not a [`ConfirmId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has eight hexadecimal digits, in lower case")]
pub struct ConfirmIdError;

impl ConfirmId {
    /// The id with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }
}

impl FromStr for ConfirmId {
    type Err = ConfirmIdError;

    fn from_str(text: &str) -> Result<Self, ConfirmIdError> {
        let clean = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 8 || !text.bytes().all(clean) {
            return Err(ConfirmIdError);
        }
        u32::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| ConfirmIdError)
    }
}

impl fmt::Display for ConfirmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for ConfirmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfirmId({self})")
    }
}

impl Serialize for ConfirmId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConfirmId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for ConfirmId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        <String as utoipa::PartialSchema>::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for ConfirmId {}

/// A change that is undone unless it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PendingChange {
    /// Its id.
    pub id: ConfirmId,
    /// The client that made it.
    pub client: ClientName,
    /// A summary of the request.
    pub summary: String,
    /// Time of the change, Unix seconds.
    pub made: u64,
    /// The deadline, Unix seconds. A jump of the clock does not postpone it.
    pub until: u64,
    /// Seconds left until then.
    pub left: u64,
    /// API rules affected.
    pub rules: u64,
    /// How many of these it added.
    #[serde(default)]
    pub added: u64,
    /// How many of these it removed.
    #[serde(default)]
    pub removed: u64,
    /// Sets affected, as `drop/NAME`.
    pub sets: Vec<String>,
    /// After the deadline: why the change could not be undone so far. The daemon keeps retrying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A change that was undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevertedChange {
    /// Its id.
    pub id: ConfirmId,
    /// The client that made it.
    pub client: ClientName,
    /// A summary of the request.
    pub summary: String,
    /// Time of the undo, Unix seconds.
    pub at: u64,
    /// Number of rules and sets that were restored.
    pub restored: u64,
    /// Rules and sets that were not restored because of later changes: the first 20.
    pub left_alone: Vec<String>,
}

/// Response of `GET /v1/confirm`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Confirmations {
    /// Changes that await confirmation, oldest first.
    pub pending: Vec<PendingChange>,
    /// The last 16 changes that were undone since the daemon started, oldest first.
    pub reverted: Vec<RevertedChange>,
    /// Problems that need attention, of the changes of all clients: changes that could not be undone, and set files
    /// that were not restored and differ from the rules in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Response of `POST /v1/confirm` and `POST /v1/confirm/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Confirmed {
    /// The changes that are now permanent.
    pub confirmed: Vec<ConfirmId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_form() {
        let id = ConfirmId::new(0x00c0_ffee);
        assert_eq!(id.to_string(), "00c0ffee");
        assert_eq!("00c0ffee".parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"00c0ffee\"");
        assert_eq!(
            serde_json::from_str::<ConfirmId>("\"00c0ffee\"").unwrap(),
            id
        );
        for bad in [
            "",
            "c0ffee",
            "00C0FFEE",
            "+0c0ffee",
            "00c0ffee0",
            "00c0ffeg",
            "é0c0ffe",
        ] {
            assert_eq!(bad.parse::<ConfirmId>(), Err(ConfirmIdError), "{bad}");
        }
    }
}
