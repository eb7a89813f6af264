//! The body of every error response of the API, and the text of an error with its causes.

use std::{collections::BTreeMap, error::Error, fmt};

use serde::{Deserialize, Serialize};

use crate::{BatchOutcome, Rail};

/// The kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Well-formed and valid, but not possible in the current state (422).
    Processing,
    /// No valid token, or a token without the required right (401).
    Unauthorized,
    /// The resource does not exist (404).
    NotFound,
    /// The resource already exists (409).
    Conflict,
    /// The request cannot be parsed, or is too large (400, 413).
    BadRequest,
    /// A value is invalid (422).
    Invalid,
    /// An error in the daemon (500, 503).
    Internal,
    /// The path does not support the method (405).
    NotImplemented,
    /// The client's group may do this, but its limits refuse it (403).
    Forbidden,
    /// More rules a minute than the client's limits allow (429).
    RateLimited,
    /// This node does not share rules (404): `[peering]` is not enabled. Couic 1.0, which has no such routes, answers
    /// `not_found`.
    PeeringOff,
}

/// The body of an error response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiError {
    /// The kind of failure.
    pub code: ErrorCode,
    /// The cause, and what to do about it.
    pub message: String,
    /// One detail per invalid field.
    #[serde(default)]
    pub errors: BTreeMap<String, ErrorDetail>,
    /// Of a batch that broke off: what was done before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Box<BatchOutcome>>,
}

/// The error in one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorDetail {
    /// The kind of failure.
    pub code: ErrorCode,
    /// A description of the error.
    pub message: String,
    /// The guard rail that refuses it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rail: Option<Rail>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (field, detail) in &self.errors {
            write!(f, "\n  {field}: {}", detail.message)?;
        }
        Ok(())
    }
}

impl Error for ApiError {}

/// An error and its causes on one line, separated by colons. A cause that the text already quotes is left out.
#[must_use]
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let message = cause.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn causes_follow_their_effects_once() {
        let refused = Layer("connection refused", None);
        let connect = Layer(
            "connect failed: connection refused",
            Some(Box::new(refused)),
        );
        let request = Layer("sending the request", Some(Box::new(connect)));
        assert_eq!(
            error_chain(&request),
            "sending the request: connect failed: connection refused"
        );
    }
}
