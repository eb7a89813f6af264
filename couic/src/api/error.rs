//! Maps errors to statuses and error bodies, and is the only place that does: the lower layers know nothing of HTTP.
//!
//! Errors of the client are reported to the client. Internal errors are logged, and the client is referred to the log.

use std::{collections::BTreeMap, error::Error, io};

use couic_common::{ApiError, CONFIRM_WITHIN_HEADER, ErrorCode, ErrorDetail, Rail, error_chain};
use couic_delivery::OperateError;
use couic_peering::Unfit;
use warp::http::StatusCode;

use crate::rbac::RbacError;
use couic_firewall::{
    confirm::ConfirmError,
    guard::GuardRefusal,
    rules::{ApplyError, FirewallError, SetError, Shared},
};

/// The answer to a request that was refused or failed.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) body: ApiError,
    /// The methods that the path serves, for 405.
    pub(super) allow: Option<String>,
    /// Seconds after which the same request may be accepted, for 429.
    pub(super) retry_after: Option<u64>,
    /// Whether the rest of the request cannot be read, so that the connection is closed after the answer.
    pub(super) close: bool,
}

impl Fault {
    pub(super) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        let body = ApiError {
            code,
            message: message.into(),
            errors: BTreeMap::new(),
            outcome: None,
        };
        Self {
            status,
            body,
            allow: None,
            retry_after: None,
            close: false,
        }
    }

    /// The request cannot be read.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, message)
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message)
    }

    /// The client's limits refuse it.
    pub(super) fn forbidden(field: Option<&str>, message: String) -> Self {
        let (status, code) = (StatusCode::FORBIDDEN, ErrorCode::Forbidden);
        match field {
            Some(field) => Self::about(status, code, field, message),
            None => Self::new(status, code, message),
        }
    }

    /// More rules a minute than the client's limits allow.
    pub(super) fn rate_limited(seconds: Option<u64>, message: String) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut fault = Self::new(status, ErrorCode::RateLimited, message);
        fault.retry_after = seconds;
        fault
    }

    /// One field's value is invalid.
    pub(super) fn invalid(field: &str, message: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::about(status, ErrorCode::Invalid, field, message.into())
    }

    /// The request is valid, but refused in the present state.
    pub(super) fn refused(field: &str, message: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::about(status, ErrorCode::Processing, field, message.into())
    }

    /// An error of one field.
    fn about(status: StatusCode, code: ErrorCode, field: &str, message: String) -> Self {
        let mut fault = Self::new(status, code, message.clone());
        let detail = ErrorDetail {
            code,
            message,
            rail: None,
        };
        fault.body.errors.insert(field.to_owned(), detail);
        fault
    }

    /// An internal error: logged with its causes, of which the client sees none.
    pub(super) fn internal(doing: &str, error: &(dyn Error + 'static)) -> Self {
        tracing::error!("{doing} failed: {}", error_chain(error));
        Self::internal_logged()
    }

    /// A disk error. A full disk is reported to the client, too: the log may be on the same disk.
    fn of_disk(doing: &str, error: &(dyn Error + 'static), source: &io::Error) -> Self {
        let mut fault = Self::internal(doing, error);
        if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            "the disk of the daemon is full, nothing has changed: make room, then try again"
                .clone_into(&mut fault.body.message);
        }
        fault
    }

    /// The undo record of a confirmable change cannot be written. That is temporary: the disk can be repaired, and the
    /// client can make the change without confirmation.
    fn no_undo_record(error: &ConfirmError, source: &io::Error) -> Self {
        tracing::error!(
            "keeping the way back of a change failed: {}",
            error_chain(error)
        );
        let why = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "its disk is full: make room"
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "its file system is read-only: mount it for writing"
            }
            _ => "its log says why",
        };
        let message = format!(
            "the daemon cannot write to the directory confirm in its working directory, so nothing was done; {why}, then try again, or make the change without confirmation"
        );
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, ErrorCode::Internal, message)
    }

    /// An internal error that is logged already.
    pub(super) fn internal_logged() -> Self {
        let message = "the daemon failed on this request: its log says why";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Internal,
            message,
        )
    }

    /// The same error for routes on which the contract wants 422 for every bad body.
    pub(super) fn unprocessable(mut self) -> Self {
        if self.status == StatusCode::BAD_REQUEST {
            self.status = StatusCode::UNPROCESSABLE_ENTITY;
        }
        self
    }

    /// The same error, by a guard rail.
    pub(super) fn by_rail(mut self, rail: Rail) -> Self {
        for detail in self.body.errors.values_mut() {
            detail.rail = Some(rail);
        }
        self
    }

    /// The same error, after which the connection is closed.
    pub(super) fn closing(mut self) -> Self {
        self.close = true;
        self
    }
}

impl From<FirewallError> for Fault {
    fn from(error: FirewallError) -> Self {
        let code = code_of(&error);
        let text = error.to_string();
        match error {
            FirewallError::Exists { .. } => Self::about(StatusCode::CONFLICT, code, "cidr", text),
            FirewallError::NotFound { .. } | FirewallError::NoClaim { .. } => Self::not_found(text),
            FirewallError::Expired { .. } => Self::invalid("expiration", text),
            FirewallError::OfSet { .. }
            | FirewallError::OfOthers { .. }
            | FirewallError::TooManyClaims { .. }
            | FirewallError::Full { .. } => Self::refused("cidr", text),
            FirewallError::TooManyTags { .. } => Self::refused("tag", text),
            FirewallError::ShareTaken { what, .. } => Self::refused(
                match what {
                    Shared::Rules(_) => "cidr",
                    Shared::Tags => "tag",
                },
                text,
            ),
            FirewallError::Plane(_) => Self::internal("changing the data plane", &error),
        }
    }
}

/// The code under which a refused change is reported, alone or in a batch.
pub(super) fn code_of(error: &FirewallError) -> ErrorCode {
    match error {
        FirewallError::Exists { .. } => ErrorCode::Conflict,
        FirewallError::NotFound { .. } | FirewallError::NoClaim { .. } => ErrorCode::NotFound,
        FirewallError::Expired { .. } => ErrorCode::Invalid,
        FirewallError::OfSet { .. }
        | FirewallError::OfOthers { .. }
        | FirewallError::TooManyClaims { .. }
        | FirewallError::Full { .. }
        | FirewallError::TooManyTags { .. }
        | FirewallError::ShareTaken { .. } => ErrorCode::Processing,
        FirewallError::Plane(_) => ErrorCode::Internal,
    }
}

impl From<SetError> for Fault {
    fn from(error: SetError) -> Self {
        let text = error.to_string();
        match &error {
            SetError::Exists { .. } => {
                Self::about(StatusCode::CONFLICT, ErrorCode::Conflict, "name", text)
            }
            SetError::NotFound { .. } => Self::not_found(text),
            SetError::BadLine { file, .. }
            | SetError::Emptied { file, .. }
            | SetError::Empty { file, .. }
            | SetError::Unreadable { file, .. }
            | SetError::TooMany { file, .. } => Self::refused(&file.clone(), text),
            SetError::TooLarge { .. } => Self::invalid("entries", text),
            SetError::Io { source, .. } => {
                Self::of_disk("reading or writing set files", &error, source)
            }
        }
    }
}

impl From<ApplyError> for Fault {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::File(error) => error.into(),
            ApplyError::Rules(error) => error.into(),
        }
    }
}

impl From<RbacError> for Fault {
    fn from(error: RbacError) -> Self {
        match &error {
            RbacError::Limits { field, .. } => Self::invalid(&field.clone(), error.to_string()),
            RbacError::Exists { .. } | RbacError::Protected { .. } => {
                Self::refused("name", error.to_string())
            }
            RbacError::NotFound { .. } => Self::not_found(error.to_string()),
            RbacError::Files(_) => Self::internal("reading client files", &error),
            RbacError::Io { source, .. } => {
                Self::of_disk("reading or writing client files", &error, source)
            }
        }
    }
}

impl From<OperateError> for Fault {
    fn from(error: OperateError) -> Self {
        let text = error.to_string();
        match error {
            OperateError::Unknown { .. } | OperateError::NoSuchLetter { .. } => {
                Self::not_found(text)
            }
            OperateError::NotDelivered(_) | OperateError::Stopping => {
                Self::refused("notifier", text)
            }
        }
    }
}

impl From<ConfirmError> for Fault {
    fn from(error: ConfirmError) -> Self {
        let text = error.to_string();
        match &error {
            ConfirmError::Unknown(_) | ConfirmError::Undone(..) => Self::not_found(text),
            ConfirmError::TooMany | ConfirmError::TooMuch | ConfirmError::NotText(_) => {
                Self::refused(CONFIRM_WITHIN_HEADER, text)
            }
            ConfirmError::Busy(_) | ConfirmError::Gone | ConfirmError::NotYet(_) => {
                Self::refused("id", text)
            }
            ConfirmError::Disk(source) => Self::no_undo_record(&error, source),
            ConfirmError::Unremoved(_) => {
                tracing::error!("confirming a change failed: {}", error_chain(&error));
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Internal, text)
            }
        }
    }
}

impl From<Unfit> for Fault {
    fn from(error: Unfit) -> Self {
        Self::refused("from", format!("your {error}"))
    }
}

impl From<GuardRefusal> for Fault {
    fn from(refusal: GuardRefusal) -> Self {
        Self::refused("cidr", refusal.to_string()).by_rail(refusal.reason.rail())
    }
}

#[cfg(test)]
mod tests;
