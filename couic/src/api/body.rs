//! Request bodies: the limits of the API, and decoding.

use std::{pin::Pin, sync::LazyLock, time::Duration};

use bytes::Bytes;
use couic_common::{ByName, ErrorCode, Group};
use couic_httpd::{BodyError, BodyLimits, BodyOwner, BodyReader, Chunks};
use serde::de::DeserializeOwned;
use warp::http::{HeaderMap, StatusCode, header};

use super::error::Fault;
use crate::rbac::Identity;

const MIB: usize = 1024 * 1024;

/// Larger sets are sent as lists, which are not read whole.
const LIMITS: BodyLimits = BodyLimits {
    max: 16 * MIB,
    free: 64 * 1024,
    budget: 128 * MIB,
    share: 32 * MIB,
    reserve: 32 * MIB,
    silence: Duration::from_secs(30),
    wait: None,
};

static READER: LazyLock<BodyReader> = LazyLock::new(|| BodyReader::new(LIMITS));

/// The content type of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    NdJson,
    List,
    Other,
}

/// The content type of a list of networks.
pub(super) const LIST: &str = "text/plain";

impl Content {
    /// Parses `Content-Type`, ignoring parameters and case.
    ///
    /// # Errors
    /// 415 for a compressed body, which would be read as it is.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        for coding in headers.get_all(header::CONTENT_ENCODING) {
            if !coding.as_bytes().eq_ignore_ascii_case(b"identity") {
                let message = "the body is compressed (Content-Encoding), which is not supported: send it as it is";
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                return Err(Fault::new(status, ErrorCode::BadRequest, message).closing());
            }
        }
        let value = headers.get(header::CONTENT_TYPE);
        let text = value.and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = text.split(';').next().unwrap_or_default().trim();
        Ok(if kind.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else if kind.eq_ignore_ascii_case("application/x-ndjson") {
            Self::NdJson
        } else if kind.eq_ignore_ascii_case(LIST) {
            Self::List
        } else {
            Self::Other
        })
    }
}

/// A whole body.
pub(super) struct Body {
    pub(super) content: Content,
    pub(super) bytes: Bytes,
}

impl Body {
    /// Decodes a body of a route that 1.0 did not have: fields have names. The contract's own bodies may be the array
    /// of their fields, too.
    pub(super) fn named<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        self.json().map(|ByName(body)| body)
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        if self.content != Content::Json {
            let message = "this route needs a body with Content-Type: application/json";
            return Err(Fault::bad_request(message));
        }
        serde_json::from_slice(&self.bytes)
            .map_err(|error| Fault::bad_request(format!("the body cannot be read: {error}")))
    }
}

/// Reads a JSON body, or another that is read whole. Every client has its share of the memory, admins have a reserve.
pub(super) async fn read_all<S: Chunks>(
    body: Pin<&mut S>,
    announced: Option<u64>,
    who: Option<&Identity>,
) -> Result<Bytes, Fault> {
    Ok(READER.read(body, announced, owner(who)).await?)
}

/// Whose share of the memory for bodies a request takes.
pub(super) fn owner(who: Option<&Identity>) -> BodyOwner {
    BodyOwner {
        name: who.map(|who| who.name.to_string()).unwrap_or_default(),
        is_trusted: who.is_some_and(|who| who.group == Group::Admin),
    }
}

/// The next chunk of a body, `None` at its end.
pub(super) async fn next_chunk<S: Chunks>(body: Pin<&mut S>) -> Result<Option<Bytes>, Fault> {
    Ok(couic_httpd::next_chunk(body, LIMITS.silence).await?)
}

impl From<BodyError> for Fault {
    fn from(error: BodyError) -> Self {
        let (status, code, message) = match error {
            BodyError::TooLarge(max) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                ErrorCode::BadRequest,
                format!(
                    "the body is larger than {} MiB; POST /v1/{{policy}}/batch takes application/x-ndjson of any length",
                    max / MIB
                ),
            ),
            BodyError::NoRoom(budget) => (
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::Internal,
                format!(
                    "the bodies of requests under way take {} MiB together, which is the most: try again in a moment",
                    budget / MIB
                ),
            ),
            BodyError::ShareTaken(share) => (
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::Internal,
                format!(
                    "the bodies of this client's requests under way take {} MiB together, which is its share: send fewer at a time",
                    share / MIB
                ),
            ),
            BodyError::Stalled(_) | BodyError::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                ErrorCode::BadRequest,
                error.to_string(),
            ),
            BodyError::Broken(_) => (
                StatusCode::BAD_REQUEST,
                ErrorCode::BadRequest,
                error.to_string(),
            ),
        };
        Self::new(status, code, message).closing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unread_body_ends_the_connection_and_names_the_limit() {
        for (error, status, text) in [
            (BodyError::TooLarge(LIMITS.max), 413, "larger than 16 MiB"),
            (BodyError::NoRoom(LIMITS.budget), 503, "take 128 MiB"),
            (
                BodyError::ShareTaken(LIMITS.share),
                503,
                "32 MiB together, which is its share",
            ),
            (BodyError::Stalled(LIMITS.silence), 408, "came for 30 s"),
            (BodyError::TooSlow, 408, "slower than 16 KiB a second"),
            (BodyError::Broken("reset".to_owned()), 400, "off: reset"),
        ] {
            let fault = Fault::from(error);
            assert_eq!((fault.status.as_u16(), fault.close), (status, true));
            assert!(fault.body.message.contains(text), "{}", fault.body.message);
        }
    }
}
