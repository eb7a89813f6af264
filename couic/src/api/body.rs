//! Reading request bodies: bounded in size and in the time that a client may be silent.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use couic_common::ErrorCode;
use futures_util::{FutureExt, Stream, StreamExt};
use serde::de::DeserializeOwned;
use warp::http::{HeaderMap, StatusCode, header};

use super::error::Fault;

/// The largest JSON body. A set file has at most 5 MiB; its lines need quotes and commas on the wire.
pub(super) const MAX_JSON: usize = 16 * 1024 * 1024;

/// How long a client may be silent in the middle of a body.
const SILENCE: Duration = Duration::from_secs(30);

/// What a request says that its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    NdJson,
    Other,
}

impl Content {
    /// Reads `Content-Type`. Parameters are allowed and without effect; case does not matter.
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
    /// Decodes the body.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        if self.content != Content::Json {
            let message = "this route takes a body with Content-Type: application/json";
            return Err(Fault::bad_request(message));
        }
        serde_json::from_slice(&self.bytes)
            .map_err(|error| Fault::bad_request(format!("the body cannot be read: {error}")))
    }
}

/// A request body on its way in.
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

/// Reads a body of at most `limit` bytes. One that came in one piece is not copied.
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
    // What a client announces is believed only so far: memory is taken as data comes.
    let announced = announced.map_or(0, |length| usize::try_from(length).unwrap_or(limit));
    let room = announced.min(1024 * 1024);
    let mut whole = BytesMut::with_capacity(room.max(first.len() + second.len()));
    whole.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if whole.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        whole.extend_from_slice(&chunk);
        next = next_chunk(stream.as_mut()).await?;
    }
    Ok(whole.freeze())
}

/// The next piece of a body, None at its end.
pub(super) async fn next_chunk<S: Chunks>(mut stream: Pin<&mut S>) -> Result<Option<Bytes>, Fault> {
    // Mostly it is there already: no timer then.
    let item = match stream.next().now_or_never() {
        Some(item) => item,
        None => in_time(stream.next()).await?,
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

async fn in_time<F: Future>(next: F) -> Result<F::Output, Fault> {
    tokio::time::timeout(SILENCE, next).await.map_err(|_| {
        let seconds = SILENCE.as_secs();
        let message = format!("nothing more of the body came for {seconds} s");
        Fault::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadRequest, message).closing()
    })
}

fn too_large(limit: usize) -> Fault {
    let mib = limit / (1024 * 1024);
    let message = format!(
        "the body is larger than {mib} MiB; POST /v1/{{policy}}/batch takes application/x-ndjson of any length"
    );
    Fault::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::BadRequest,
        message,
    )
    .closing()
}
