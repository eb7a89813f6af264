//! Reading request bodies: bounded in size and in the time that a client may be silent.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use couic_common::{ByName, ErrorCode};
use futures_util::{FutureExt, Stream, StreamExt};
use serde::de::DeserializeOwned;
use warp::http::{HeaderMap, StatusCode, header};

use super::error::Fault;

/// The largest JSON body. A set file has at most 5 MiB; its lines need quotes and commas on the wire.
pub(super) const MAX_JSON: usize = 16 * 1024 * 1024;

/// Memory for all bodies that arrive in pieces, over all connections.
const BUDGET: usize = 8 * MAX_JSON;

/// How much of it is in use.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// How long a client may be silent in the middle of a body.
const SILENCE: Duration = Duration::from_secs(30);

/// The content type of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    NdJson,
    Other,
}

impl Content {
    /// Parses `Content-Type`, ignoring parameters and case.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(header::CONTENT_TYPE);
        let text = value.and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = text.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else if kind.eq_ignore_ascii_case("application/x-ndjson") {
            Self::NdJson
        } else {
            Self::Other
        }
    }
}

/// A whole body.
pub(super) struct Body {
    pub(super) content: Content,
    pub(super) bytes: Bytes,
}

impl Body {
    /// Decodes a body of a route that 1.0 did not have: fields have names. The contract's own bodies may be the array
    /// of their fields, too.
    pub(super) fn named<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        self.json().map(|ByName(body)| body)
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        if self.content != Content::Json {
            let message = "this route needs a body with Content-Type: application/json";
            return Err(Fault::bad_request(message));
        }
        serde_json::from_slice(&self.bytes)
            .map_err(|error| Fault::bad_request(format!("the body cannot be read: {error}")))
    }
}

/// A request body that is being received.
pub(super) trait Chunks: Stream<Item = Result<Self::Chunk, warp::Error>> + Send {
    type Chunk: Buf + Send;
}

impl<S, B> Chunks for S
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf + Send,
{
    type Chunk = B;
}

/// Reads a body of at most `limit` bytes. A body that arrives in one piece is not copied.
pub(super) async fn read_all<S: Chunks>(
    mut stream: Pin<&mut S>,
    announced: Option<u64>,
    limit: usize,
) -> Result<Bytes, Fault> {
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let Some(first) = next_chunk(stream.as_mut()).await? else {
        return Ok(Bytes::new());
    };
    let Some(second) = next_chunk(stream.as_mut()).await? else {
        return if first.len() > limit {
            Err(too_large(limit))
        } else {
            Ok(first)
        };
    };
    // The announced length is not trusted: memory is allocated as data arrives.
    let announced = announced.map_or(0, |length| usize::try_from(length).unwrap_or(limit));
    let room = announced.min(1024 * 1024);
    let mut whole = Whole::new(&TAKEN, BUDGET);
    whole.make_room(room.max(first.len() + second.len()))?;
    whole.bytes.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        let length = whole.bytes.len() + chunk.len();
        if length > limit {
            return Err(too_large(limit));
        }
        if length > whole.share {
            whole.make_room(length.max(2 * whole.share).min(limit))?;
        }
        whole.bytes.extend_from_slice(&chunk);
        next = next_chunk(stream.as_mut()).await?;
    }
    Ok(Bytes::from_owner(whole))
}

/// A body that is being assembled, with its share of the budget until it is dropped.
struct Whole {
    bytes: BytesMut,
    share: usize,
    taken: &'static AtomicUsize,
    budget: usize,
}

impl Whole {
    fn new(taken: &'static AtomicUsize, budget: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            share: 0,
            taken,
            budget,
        }
    }

    fn make_room(&mut self, room: usize) -> Result<(), Fault> {
        let more = room - self.share;
        let add = |taken: usize| Some(taken + more).filter(|sum| *sum <= self.budget);
        if self.taken.fetch_update(Relaxed, Relaxed, add).is_err() {
            return Err(crowded(self.budget));
        }
        self.share = room;
        self.bytes.reserve(room - self.bytes.len());
        Ok(())
    }
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.share, Relaxed);
    }
}

fn crowded(budget: usize) -> Fault {
    let mib = budget / (1024 * 1024);
    let message = format!(
        "the bodies of all requests in progress may use {mib} MiB together, and do: try again in a moment"
    );
    Fault::new(
        StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal,
        message,
    )
    .closing()
}

/// The next piece of a body, None at its end.
pub(super) async fn next_chunk<S: Chunks>(stream: Pin<&mut S>) -> Result<Option<Bytes>, Fault> {
    next_chunk_within(stream, SILENCE).await
}

async fn next_chunk_within<S: Chunks>(
    mut stream: Pin<&mut S>,
    silence: Duration,
) -> Result<Option<Bytes>, Fault> {
    // Usually data is ready: no timer then.
    let item = match stream.next().now_or_never() {
        Some(item) => item,
        None => in_time(stream.next(), silence).await?,
    };
    match item {
        None => Ok(None),
        Some(Ok(mut chunk)) => Ok(Some(chunk.copy_to_bytes(chunk.remaining()))),
        Some(Err(error)) => {
            let message = format!("the body broke off: {error}");
            Err(Fault::bad_request(message).closing())
        }
    }
}

async fn in_time<F: Future>(next: F, silence: Duration) -> Result<F::Output, Fault> {
    tokio::time::timeout(silence, next).await.map_err(|_| {
        let seconds = silence.as_secs();
        let message = format!("no more of the body arrived for {seconds} s");
        Fault::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadRequest, message).closing()
    })
}

fn too_large(limit: usize) -> Fault {
    let mib = limit / (1024 * 1024);
    let message = format!(
        "the body is larger than {mib} MiB; POST /v1/{{policy}}/batch accepts application/x-ndjson of any length"
    );
    Fault::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::BadRequest,
        message,
    )
    .closing()
}

#[cfg(test)]
mod tests;
