//! Responses.

use std::collections::BTreeMap;

use couic_common::{ApiError, ErrorCode};
use serde::Serialize;
use warp::{
    Reply,
    http::{HeaderValue, StatusCode, header},
    reply::{self, Response},
};

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    reply::with_status(reply::json(body), status).into_response()
}

pub(super) fn text(content_type: &'static str, body: String) -> Response {
    reply::with_header(body, header::CONTENT_TYPE, content_type).into_response()
}

/// An error in the common form of Couic's errors.
pub(super) fn error(status: StatusCode, message: impl Into<String>) -> Response {
    let code = match status {
        StatusCode::UNAUTHORIZED => ErrorCode::Unauthorized,
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ErrorCode::NotImplemented,
        status if status.is_server_error() => ErrorCode::Internal,
        _ => ErrorCode::BadRequest,
    };
    let body = ApiError {
        code,
        message: message.into(),
        errors: BTreeMap::new(),
        outcome: None,
    };
    json(status, &body)
}

/// 503 with `Retry-After`: the sender keeps the reports and retries.
pub(super) fn later(message: impl Into<String>) -> Response {
    let mut answer = error(StatusCode::SERVICE_UNAVAILABLE, message);
    let wait = HeaderValue::from_static("5");
    answer.headers_mut().insert(header::RETRY_AFTER, wait);
    answer
}
