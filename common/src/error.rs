//! The body of every error that the API answers.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Well formed and valid, but cannot be done in the present state (422).
    Processing,
    /// No valid token, or a token without that right (401).
    Unauthorized,
    /// There is no such thing (404).
    NotFound,
    /// It is there already (409).
    Conflict,
    /// The request cannot be read (400, 413).
    BadRequest,
    /// A value is invalid (422).
    Invalid,
    /// A fault of the daemon (500, 503).
    Internal,
    /// The method is not served on that path (405).
    NotImplemented,
}

/// The body of an error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiError {
    /// What kind of failure.
    pub code: ErrorCode,
    /// What happened, and what to do.
    pub message: String,
    /// One detail per bad field.
    #[serde(default)]
    pub errors: BTreeMap<String, ErrorDetail>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorDetail {
    /// What kind of failure.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
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

impl std::error::Error for ApiError {}
