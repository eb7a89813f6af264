//! What couicmon tells: `/metrics` and `/health` on a port of the loopback, and for `couicmon top` more of it on a Unix
//! socket that only its own user and group may open.
//!
//! Lines of logs are not for everybody on the machine: samples and talkers are on the socket only.

use couic_httpd::{Answer, Asker, json_reply, metrics_reply, told};
use http::{Method, StatusCode, request::Parts};

use super::{figures, health, service::Service};

/// The most talkers in an answer.
const MOST: usize = 1_000;

/// The answer to a request.
pub(crate) fn answer(service: &Service, asker: Asker, head: &Parts) -> Answer {
    if head.method != Method::GET && head.method != Method::HEAD {
        return told(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here");
    }
    match (head.uri.path(), asker) {
        ("/metrics" | "/v1/metrics", _) => {
            metrics_reply(&head.headers, &figures::families(service))
        }
        ("/health" | "/v1/health", asker) => {
            let health = health::of(service, asker == Asker::Group);
            let code = if health.is_failed() {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::OK
            };
            json_reply(code, &health)
        }
        ("/v1/top", Asker::Group) => {
            let query = head.uri.query();
            let count = query.and_then(|query| query.strip_prefix("n=")?.parse().ok());
            json_reply(
                StatusCode::OK,
                &figures::top(service, count.unwrap_or(50).min(MOST)),
            )
        }
        ("/v1/top", Asker::Anybody) => told(
            StatusCode::FORBIDDEN,
            "talkers are told on the control socket only",
        ),
        _ => told(StatusCode::NOT_FOUND, "there is nothing on this path"),
    }
}
