//! `POST /v1/reports/{secret}`.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use couic_common::unix_seconds;
use couic_httpd::{BodyError, BodyLimits, BodyOwner, Chunks, Known};
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use tokio::task;
use uuid::Uuid;
use warp::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    reply::Response,
};

use super::{
    Context,
    answer::{error, json, later},
    connection::forwarded_for,
    traffic,
};
use crate::{
    ingest::{self, NotReports},
    state::{Accepted, Batch},
};

/// The sender's id of a request, stable across retries, so that a retry after a lost response counts once.
const REQUEST_ID: &str = "idempotency-key";

/// The name of the sending Couic instance.
const INSTANCE: &str = "couic-instance";

/// The kind of content; without it, reports.
const KIND: &str = "couic-kind";

/// In answers: what is accepted besides reports.
const ACCEPTS: &str = "couic-accepts";

/// What a firewall passed and dropped.
const TRAFFIC: &str = "traffic";

/// A larger body is parsed on a blocking thread, not on the runtime: 64 KiB take some 0.2 ms.
const PARSED_ASIDE: usize = 64 * 1024;

#[derive(Serialize)]
struct Taken {
    /// Reports in the request.
    accepted: u32,
    /// The request was a retry, and had been counted already.
    repeated: bool,
}

/// Accepts a request, or answers with the error.
pub(super) async fn accept(
    secret: String,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    body: impl Chunks,
    context: Arc<Context>,
) -> Response {
    if !knows_secret(&secret, context.secret.expose()) {
        return error(StatusCode::UNAUTHORIZED, "wrong secret");
    }
    let mut answer = accept_known(headers, peer, body, &context).await;
    // Couic sends traffic only to receivers that announce it.
    let traffic = HeaderValue::from_static(TRAFFIC);
    answer.headers_mut().insert(ACCEPTS, traffic);
    answer.extensions_mut().insert(Known);
    answer
}

async fn accept_known(
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    body: impl Chunks,
    context: &Context,
) -> Response {
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|len| len.to_str().ok()?.parse().ok());
    let body = match context
        .bodies
        .read(pin!(body), announced, owner(peer))
        .await
    {
        Ok(body) => body,
        Err(error) => return refusal(&error),
    };
    let (id, source) = (request_id(&headers), instance(&headers, peer));
    if headers.get(KIND).is_some_and(|kind| kind == TRAFFIC) {
        return traffic::accept(body, id, &source, context).await;
    }
    match parse(body, id, source).await {
        Ok(batch) => count(batch, context).await,
        Err(not_reports) => {
            tracing::info!("refused a request: {not_reports}");
            error(StatusCode::BAD_REQUEST, not_reports.to_string())
        }
    }
}

/// In constant time, also for a secret that is not a UUID.
fn knows_secret(given: &str, secret: &Uuid) -> bool {
    let parsed = Uuid::try_parse(given);
    let given = parsed.as_ref().map_or(&[0; 16], Uuid::as_bytes);
    let equal: bool = given.ct_eq(secret.as_bytes()).into();
    equal & parsed.is_ok()
}

/// A sender's address has a share of the memory, other than this host's, where a proxy may be.
fn owner(peer: Option<SocketAddr>) -> BodyOwner {
    let ip = peer.map(|peer| peer.ip().to_canonical());
    BodyOwner {
        name: ip.map(|ip| ip.to_string()).unwrap_or_default(),
        is_trusted: ip.is_some_and(|ip| ip.is_loopback()),
    }
}

/// Four of the largest requests fit into memory at a time, two of one sender; others wait.
pub(super) const fn limits(max: usize) -> BodyLimits {
    BodyLimits {
        max,
        free: PARSED_ASIDE,
        budget: 4 * max,
        share: 2 * max,
        reserve: 0,
        silence: Duration::from_secs(10),
        wait: Some(Duration::from_secs(10)),
    }
}

fn refusal(why: &BodyError) -> Response {
    match why {
        BodyError::TooLarge(max) => {
            let mib = max >> 20;
            let message = format!("the request is larger than {mib} MiB: send it in parts");
            error(StatusCode::PAYLOAD_TOO_LARGE, message)
        }
        BodyError::NoRoom(_) | BodyError::ShareTaken(_) => {
            later("too many concurrent requests: retry later")
        }
        BodyError::Stalled(_) | BodyError::TooSlow => error(
            StatusCode::REQUEST_TIMEOUT,
            "timeout while reading the body",
        ),
        BodyError::Broken(_) => error(StatusCode::BAD_REQUEST, "the body cannot be read"),
    }
}

async fn parse(body: Bytes, id: Option<Uuid>, source: String) -> Result<Batch, NotReports> {
    let parse = move |body: &[u8]| ingest::parse(body, id, &source, unix_seconds());
    let parsed = aside(body, parse).await;
    parsed.unwrap_or_else(|| Err(NotReports::fault()))
}

/// Parses a large body on a thread of its own, so that it delays no other request. None if that thread panicked.
pub(super) async fn aside<T: Send + 'static>(
    body: Bytes,
    parse: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Option<T> {
    if body.len() <= PARSED_ASIDE {
        return Some(parse(&body));
    }
    task::spawn_blocking(move || parse(&body)).await.ok()
}

async fn count(batch: Batch, context: &Context) -> Response {
    let (adds, removes) = (batch.adds, batch.removes);
    match context.journal.accept(batch).await {
        Ok(accepted) => {
            let repeated = accepted == Accepted::Repeated;
            context.meter.accepted(adds, removes, repeated);
            let accepted = adds.saturating_add(removes);
            json(StatusCode::OK, &Taken { accepted, repeated })
        }
        // The reason names local files; it is logged.
        Err(_) => later("the reports cannot be stored at the moment: retry later"),
    }
}

fn request_id(headers: &HeaderMap) -> Option<Uuid> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let id = Uuid::try_parse(id.trim_matches('"')).ok()?;
    (!id.is_nil()).then_some(id)
}

/// The sender: its instance name, else its address.
fn instance(headers: &HeaderMap, peer: Option<SocketAddr>) -> String {
    let named = headers.get(INSTANCE).and_then(|name| name.to_str().ok());
    let named = named.map(str::trim);
    if let Some(name) = named.filter(|name| (1..=100).contains(&name.len())) {
        return name.to_owned();
    }
    let Some(peer) = peer.map(|peer| peer.ip().to_canonical()) else {
        return "unknown".to_owned();
    };
    // A reverse proxy is on this machine.
    let forwarded = peer.is_loopback().then(|| forwarded_for(headers)).flatten();
    forwarded.unwrap_or(peer).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_compared_as_a_uuid() {
        let secret = Uuid::from_u128(0x550e_8400);
        assert!(knows_secret(&secret.to_string(), &secret));
        assert!(knows_secret(&secret.to_string().to_uppercase(), &secret));
        for wrong in ["", "x", &Uuid::from_u128(7).to_string(), "550e8400"] {
            assert!(!knows_secret(wrong, &secret), "{wrong}");
        }
        assert!(!knows_secret("not a uuid", &Uuid::nil()));
    }

    #[test]
    fn an_instance_is_identified_by_name_or_address() {
        let peer = |text: &str| Some(SocketAddr::new(text.parse().unwrap(), 1));
        let mut headers = HeaderMap::new();
        assert_eq!(instance(&headers, None), "unknown");
        assert_eq!(instance(&headers, peer("::ffff:192.0.2.1")), "192.0.2.1");
        headers.insert("x-forwarded-for", "6.6.6.6, 192.0.2.7".parse().unwrap());
        assert_eq!(instance(&headers, peer("192.0.2.1")), "192.0.2.1");
        assert_eq!(instance(&headers, peer("127.0.0.1")), "192.0.2.7");
        headers.insert(INSTANCE, " fw1 ".parse().unwrap());
        assert_eq!(instance(&headers, peer("127.0.0.1")), "fw1");
    }

    #[test]
    fn a_request_id_is_a_uuid_or_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(request_id(&headers), None);
        let id = Uuid::from_u128(9);
        headers.insert(REQUEST_ID, format!("\"{id}\"").parse().unwrap());
        assert_eq!(request_id(&headers), Some(id));
        headers.insert(REQUEST_ID, "seven".parse().unwrap());
        assert_eq!(request_id(&headers), None);
    }
}
