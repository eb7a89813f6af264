//! `POST /v1/reports/{secret}`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Buf;
use futures_util::{Stream, StreamExt as _};
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use tokio::{sync::SemaphorePermit, task, time};
use uuid::Uuid;
use warp::{
    http::{HeaderMap, StatusCode, header},
    reply::Response,
};

use super::{
    Context,
    answer::{error, json, later},
};
use crate::{
    ingest::{self, NotReports},
    state::{Accepted, Batch},
};

/// The sender's id of a request, stable across retries, so that a retry after a lost response counts once.
const REQUEST_ID: &str = "idempotency-key";

/// The name of the sending Couic instance.
const INSTANCE: &str = "couic-instance";

/// The client address behind a reverse proxy. Trusted from loopback only.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// How long a sender may stall within a body.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a request waits for its share of the memory budget.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(10);

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
pub(super) async fn accept<B: Buf>(
    secret: String,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    body: impl Stream<Item = Result<B, warp::Error>> + Send,
    context: Arc<Context>,
) -> Response {
    if !knows_secret(&secret, context.secret.expose()) {
        return error(StatusCode::UNAUTHORIZED, "wrong secret");
    }
    let body = match read(&headers, body, &context).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    match parse(body, request_id(&headers), instance(&headers, peer)).await {
        Ok(batch) => count(batch, &context).await,
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

/// A body, and its share of the memory budget.
struct Body<'c> {
    bytes: Vec<u8>,
    _room: SemaphorePermit<'c>,
}

async fn read<'c, B: Buf>(
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>> + Send,
    context: &'c Context,
) -> Result<Body<'c>, Response> {
    let max = context.max_body;
    let too_large = || {
        let message = format!(
            "the request is larger than {} MiB: send it in parts",
            max >> 20
        );
        error(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|len| len.to_str().ok()?.parse().ok());
    // Without a Content-Length, reserve the maximum.
    let expected: usize = announced.unwrap_or(max);
    if expected > max {
        return Err(too_large());
    }
    let kib = u32::try_from(expected.div_ceil(1024)).unwrap_or(u32::MAX);
    let room = time::timeout(WAIT_FOR_ROOM, context.room.acquire_many(kib)).await;
    let Ok(Ok(room)) = room else {
        return Err(later("too many concurrent requests: retry later"));
    };
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0));
    let mut body = std::pin::pin!(body);
    loop {
        match time::timeout(PATIENCE, body.next()).await {
            Err(_) => {
                let message = "timeout while reading the body";
                return Err(error(StatusCode::REQUEST_TIMEOUT, message));
            }
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                let message = "the body cannot be read";
                return Err(error(StatusCode::BAD_REQUEST, message));
            }
            Ok(Some(Ok(mut chunk))) => {
                if bytes.len() + chunk.remaining() > max {
                    return Err(too_large());
                }
                while chunk.has_remaining() {
                    let part = chunk.chunk();
                    bytes.extend_from_slice(part);
                    let len = part.len();
                    chunk.advance(len);
                }
            }
        }
    }
    Ok(Body { bytes, _room: room })
}

async fn parse(body: Body<'_>, id: Option<Uuid>, source: String) -> Result<Batch, NotReports> {
    let Body { bytes, _room } = body;
    if bytes.len() <= PARSED_ASIDE {
        return ingest::parse(&bytes, id, &source);
    }
    let parsed = task::spawn_blocking(move || ingest::parse(&bytes, id, &source)).await;
    parsed.unwrap_or_else(|_| Err(NotReports::fault()))
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
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let named = text(INSTANCE).map(str::trim);
    if let Some(name) = named.filter(|name| (1..=100).contains(&name.len())) {
        return name.to_owned();
    }
    let Some(peer) = peer.map(|peer| peer.ip().to_canonical()) else {
        return "unknown".to_owned();
    };
    let forwarded = text(FORWARDED_FOR)
        .filter(|_| peer.is_loopback())
        .and_then(|list| list.rsplit(',').next())
        .and_then(|last| last.trim().parse::<std::net::IpAddr>().ok());
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
        headers.insert(FORWARDED_FOR, "6.6.6.6, 192.0.2.7".parse().unwrap());
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
