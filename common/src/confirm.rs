//! Changes that are undone unless somebody confirms them in time.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ClientName;

/// Header of a request that changes something: undo it after so many seconds unless it is confirmed.
pub const CONFIRM_WITHIN_HEADER: &str = "couic-confirm-within";

/// Header of the answer to such a request: the id to confirm.
pub const CONFIRM_ID_HEADER: &str = "couic-confirm-id";

/// Header of the answer to such a request: when it will be undone, Unix seconds by the daemon's clock.
pub const CONFIRM_UNTIL_HEADER: &str = "couic-confirm-until";

/// The longest time to confirm, in seconds: a day.
pub const CONFIRM_WITHIN_MAX: u64 = 86_400;

/// Names a change that waits to be confirmed: eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfirmId(u32);

/// The text is no [`ConfirmId`].
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

/// A change that is undone unless somebody confirms it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PendingChange {
    /// Its id.
    pub id: ConfirmId,
    /// Who made it.
    pub client: ClientName,
    /// What was asked, in short.
    pub summary: String,
    /// When, Unix seconds.
    pub made: u64,
    /// When it is undone, Unix seconds. A clock that jumps does not put it off.
    pub until: u64,
    /// For how many seconds that is from now.
    pub left: u64,
    /// Rules of the API that it touched.
    pub rules: u64,
    /// Of these, how many it added.
    #[serde(default)]
    pub added: u64,
    /// How many it removed.
    #[serde(default)]
    pub removed: u64,
    /// Sets that it touched, as `drop/NAME`.
    pub sets: Vec<String>,
    /// Why it could not be undone yet, where its time is over. It is tried again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A change that was undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevertedChange {
    /// Its id.
    pub id: ConfirmId,
    /// Who made it.
    pub client: ClientName,
    /// What was asked, in short.
    pub summary: String,
    /// When it was undone, Unix seconds.
    pub at: u64,
    /// Rules and sets that are as they were before.
    pub restored: u64,
    /// Rules and sets that somebody changed afterwards, and that were left alone therefore: the first 20.
    pub left_alone: Vec<String>,
}

/// Answer of `GET /v1/confirm`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Confirmations {
    /// What waits, the oldest first.
    pub pending: Vec<PendingChange>,
    /// What was undone since the start of the daemon, the latest 16, the oldest first.
    pub reverted: Vec<RevertedChange>,
    /// What somebody must look at, whoever made the change: what could not be undone, and set files that were left
    /// alone and say something else than the rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Answer of `POST /v1/confirm` and `POST /v1/confirm/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Confirmed {
    /// What stays from now on.
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
