//! What couic-bouncer tells: `/metrics` and `/health` on a port of the loopback, and on the control socket, which only its own
//! user and group may open, what its commands show and change.

use couic_httpd::{Answer, Asker, json_reply, metrics_reply, told};
use http::{Method, StatusCode, Uri, request::Parts};
use serde_json::json;

use super::{feeds::Order, figures, health, service::Service, status};

/// The answer to a request.
pub(crate) async fn answer(service: &Service, asker: Asker, head: &Parts) -> Answer {
    let path = head.uri.path();
    let is_read = head.method == Method::GET || head.method == Method::HEAD;
    match (is_read, path, asker) {
        (true, "/metrics" | "/v1/metrics", _) => {
            metrics_reply(&head.headers, &figures::families(service))
        }
        (true, "/health" | "/v1/health", _) => {
            let health = health::of(service);
            let code = match health.is_failed() {
                true => StatusCode::SERVICE_UNAVAILABLE,
                false => StatusCode::OK,
            };
            json_reply(code, &health)
        }
        (true, "/v1/status", Asker::Group) => json_reply(StatusCode::OK, &status::of(service)),
        (false, _, Asker::Group) if head.method == Method::POST => order(service, &head.uri).await,
        (true, "/v1/status", Asker::Anybody) | (false, _, Asker::Anybody) => {
            told(StatusCode::FORBIDDEN, "this is for the control socket only")
        }
        (false, ..) => told(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and POST are served here",
        ),
        _ => told(StatusCode::NOT_FOUND, "there is nothing on this path"),
    }
}

/// `/v1/feeds/NAME/accept`, with `?list=CHECKSUM` for that one only, and `/refresh`.
async fn order(service: &Service, uri: &Uri) -> Answer {
    let words: Vec<&str> = uri.path().split('/').collect();
    let (name, order) = match words.as_slice() {
        ["", "v1", "feeds", name, "accept"] => {
            let hash = uri.query().and_then(|query| query.strip_prefix("list="));
            (*name, Order::Accept(hash))
        }
        ["", "v1", "feeds", name, "refresh"] => (*name, Order::Refresh),
        _ => return told(StatusCode::NOT_FOUND, "there is nothing on this path"),
    };
    let following = {
        let now = service.now.lock();
        now.feeds.as_ref().map(|running| running.part.clone())
    };
    let Some(following) = following else {
        return told(StatusCode::NOT_FOUND, "there are no feeds");
    };
    match following.order(name, order).await {
        Ok(message) => json_reply(StatusCode::OK, &json!({ "message": message })),
        Err(why) => told(StatusCode::UNPROCESSABLE_ENTITY, &why),
    }
}
