//! Health of the filter, and that of the API itself. The only routes without a token: a watchdog needs none.

use couic_common::{HealthStatus, Live};
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

/// `GET /v1/live`: a balancer that asked `/v1/health` would take the API away while panic is on, and with it the way to
/// switch that off.
pub(super) fn live(_: &Call) -> Outcome {
    Answer::ok(&Live { live: true })
}
