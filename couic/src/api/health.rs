//! Health of the filter. The only route without a token: a watchdog needs none.

use couic_common::HealthStatus;
use warp::http::StatusCode;

use super::{
    answer::{Answer, Outcome},
    call::Call,
};

/// `GET /v1/health`.
pub(super) fn show(call: &Call) -> Outcome {
    let health = (call.api().health)();
    let status = match health.status {
        HealthStatus::Ok | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Down => StatusCode::SERVICE_UNAVAILABLE,
    };
    Answer::json(status, &health)
}
