//! Answers of handlers, and how they become responses.

use std::{io, pin::Pin};

use bytes::Bytes;
use couic_common::{
    CONFIRM_ID_HEADER, CONFIRM_UNTIL_HEADER, HELD_BY_HEADER, LIFTED_HEADER, Rail, RuleOwner,
};
use futures_util::{Stream, stream};
use serde::Serialize;
use warp::{
    Reply,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
    reply,
};

use super::error::Fault;
use couic_firewall::{confirm::Ticket, guard::Rails};

/// What comes out of a handler.
pub(super) type Outcome = Result<Answer, Fault>;

pub(super) const JSON: &str = "application/json";
pub(super) const NDJSON: &str = "application/x-ndjson";
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// The pieces of a body that is made while it is sent.
pub(super) type Pieces = Box<dyn Iterator<Item = Bytes> + Send + Sync>;

/// The same for a body that waits for what it is made of, possibly without end.
pub(super) type Endless = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send + Sync>>;

/// Marks a response with such a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streaming;

/// The answer to a request that was not refused.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    content: &'static str,
    body: Payload,
    /// Set if the client asked to confirm the change.
    ticket: Option<Ticket>,
    /// The guard rails that a forced change went over.
    lifted: Rails,
    /// Who still holds a rule that this client released.
    held_by: Option<HeaderValue>,
    /// A header of this route's own.
    header: Option<(HeaderName, HeaderValue)>,
}

enum Payload {
    Empty,
    Whole(Vec<u8>),
    Pieces(Pieces),
    Endless(Endless),
}

impl Answer {
    /// A complete body.
    pub(super) fn whole(status: StatusCode, content: &'static str, body: Vec<u8>) -> Self {
        let body = Payload::Whole(body);
        Self {
            status,
            content,
            body,
            ticket: None,
            lifted: Rails::default(),
            held_by: None,
            header: None,
        }
    }

    /// A body that is made while it is sent: at most one piece of it is in memory.
    pub(super) fn pieces(content: &'static str, pieces: Pieces) -> Self {
        Self {
            status: StatusCode::OK,
            content,
            body: Payload::Pieces(pieces),
            ticket: None,
            lifted: Rails::default(),
            held_by: None,
            header: None,
        }
    }

    /// A body that may have no end.
    pub(super) fn endless(content: &'static str, body: Endless) -> Self {
        Self {
            body: Payload::Endless(body),
            ..Self::whole(StatusCode::OK, content, Vec::new())
        }
    }

    pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Outcome {
        serde_json::to_vec(value)
            .map(|body| Self::whole(status, JSON, body))
            .map_err(|error| Fault::internal("writing an answer", &error))
    }

    pub(super) fn ok<T: Serialize>(value: &T) -> Outcome {
        Self::json(StatusCode::OK, value)
    }

    pub(super) fn created<T: Serialize>(value: &T) -> Outcome {
        Self::json(StatusCode::CREATED, value)
    }

    /// 204.
    pub(super) fn no_content() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            content: "",
            body: Payload::Empty,
            ticket: None,
            lifted: Rails::default(),
            held_by: None,
            header: None,
        }
    }

    /// Adds the headers that name the change to confirm.
    #[must_use]
    pub(super) fn confirmable(self, ticket: Option<Ticket>) -> Self {
        Self { ticket, ..self }
    }

    /// Adds the header that names the guard rails that a forced change went over.
    #[must_use]
    pub(super) fn over(self, lifted: Rails) -> Self {
        Self { lifted, ..self }
    }

    /// Adds the header that names who still holds the rule.
    #[must_use]
    pub(super) fn held_by(self, owners: &[RuleOwner]) -> Self {
        /// So many fit into a header that every client reads.
        const NAMED: usize = 16;
        let named = &owners[..owners.len().min(NAMED)];
        let held_by = (!named.is_empty()).then(|| {
            // Names and tags are ASCII without control characters; reasons are not, and long.
            let brief = |owner: &RuleOwner| RuleOwner {
                reason: None,
                ..owner.clone()
            };
            let named: Vec<RuleOwner> = named.iter().map(brief).collect();
            let text = serde_json::to_string(&named).ok()?;
            HeaderValue::try_from(text).ok()
        });
        Self {
            held_by: held_by.flatten(),
            ..self
        }
    }

    /// Adds a header.
    #[must_use]
    pub(super) fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self {
            header: Some((name, value)),
            ..self
        }
    }

    /// The guard rails that a forced change went over.
    pub(super) fn lifted(&self) -> Rails {
        self.lifted
    }

    /// The response; for `HEAD` the same headers without the body.
    pub(super) fn into_response(self, head: bool) -> reply::Response {
        let Self {
            status,
            content,
            body,
            ticket,
            lifted,
            held_by,
            header: own,
        } = self;
        let mut response = match body {
            Payload::Empty => Response::new(Bytes::new()).into_response(),
            Payload::Whole(body) if head => {
                let length = body.len();
                let mut response = Response::new(Bytes::new()).into_response();
                response
                    .headers_mut()
                    .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                response
            }
            Payload::Whole(body) => Response::new(body).into_response(),
            Payload::Pieces(_) | Payload::Endless(_) if head => {
                Response::new(Bytes::new()).into_response()
            }
            Payload::Pieces(pieces) => {
                reply::stream(stream::unfold(Some(pieces), next_piece)).into_response()
            }
            Payload::Endless(body) => {
                let mut response = reply::stream(body).into_response();
                response.extensions_mut().insert(Streaming);
                response
            }
        };
        *response.status_mut() = status;
        if !content.is_empty() {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
        }
        if let Some((name, value)) = own {
            response.headers_mut().insert(name, value);
        }
        if let Some(held_by) = held_by {
            response.headers_mut().insert(HELD_BY_HEADER, held_by);
        }
        if let Some(Ticket { id, until }) = ticket {
            let headers = response.headers_mut();
            // Hexadecimal digits are always a header's value.
            if let Ok(id) = HeaderValue::try_from(id.to_string()) {
                headers.insert(CONFIRM_ID_HEADER, id);
            }
            headers.insert(CONFIRM_UNTIL_HEADER, HeaderValue::from(until));
        }
        let lifted: Vec<&str> = lifted.iter().map(Rail::as_str).collect();
        if !lifted.is_empty()
            && let Ok(names) = HeaderValue::try_from(lifted.join(", "))
        {
            response.headers_mut().insert(LIFTED_HEADER, names);
        }
        response
    }
}

/// Makes a piece on a blocking thread. On a panic the body is cut off there.
async fn next_piece(pieces: Option<Pieces>) -> Option<(io::Result<Bytes>, Option<Pieces>)> {
    let mut pieces = pieces?;
    match tokio::task::spawn_blocking(move || (pieces.next(), pieces)).await {
        Ok((piece, pieces)) => piece.map(|piece| (Ok(piece), Some(pieces))),
        Err(error) => {
            tracing::error!("the rest of an answer cannot be made: {error}");
            Some((Err(io::Error::other(error)), None))
        }
    }
}

impl Fault {
    /// The response to a request that was refused.
    pub(super) fn into_response(self, head: bool) -> reply::Response {
        let Self {
            status,
            body,
            allow,
            retry_after,
            close,
        } = self;
        // The body consists of strings and numbers: it can always be written.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Answer::whole(status, JSON, body).into_response(head);
        let headers = response.headers_mut();
        if let Some(allow) = allow.and_then(|methods| HeaderValue::try_from(methods).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        if close {
            let close = HeaderValue::from_static("close");
            headers.insert(header::CONNECTION, close);
        }
        response
    }
}
