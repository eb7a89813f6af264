//! Requests to stand-ins, and their replies.

use std::time::Duration;

use serde_json::Value;

use crate::message::header;

/// The reaction of the server to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers.
    Answer {
        /// The status.
        status: u16,
        /// Headers besides the length.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Sends these bytes, and closes.
    Raw(Vec<u8>),
    /// The other reply, after this time.
    After(Duration, Box<Reply>),
    /// Resets the connection (RST).
    Reset,
    /// Never answers; the client has to close.
    Hang,
    /// Closes without an answer.
    Close,
    /// Answers and never finishes the body.
    HangInBody(u16),
    /// Sends a body of a gigabyte, until the client stops reading.
    Gigabyte(u16),
}

impl Reply {
    /// An answer without headers and body.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// An answer with a body of this media type.
    #[must_use]
    pub fn text(status: u16, kind: &str, body: impl Into<String>) -> Self {
        Self::Answer {
            status,
            headers: Vec::from([("content-type", kind.to_owned())]),
            body: body.into().into_bytes(),
        }
    }

    /// An answer with a body of JSON.
    #[must_use]
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::text(status, "application/json", body)
    }

    /// An answer that ends in the middle of its body.
    #[must_use]
    pub fn half_body(status: u16) -> Self {
        Self::Raw(half(status))
    }

    /// With one more header.
    ///
    /// # Panics
    /// If this is no answer.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        match &mut self {
            Self::Answer { headers, .. } => headers.push((name, value.into())),
            other => panic!("{other:?} has no headers"),
        }
        self
    }
}

pub(super) fn half(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} x\r\ncontent-length: 100\r\n\r\nhalf").into_bytes()
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Request line and headers.
    pub head: String,
    /// The body, without chunks.
    pub body: Vec<u8>,
}

impl Request {
    /// `METHOD /path?query`.
    #[must_use]
    pub fn line(&self) -> &str {
        let line = self.head.lines().next().unwrap_or_default();
        line.rsplit_once(' ').map_or(line, |(line, _version)| line)
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {self:?}"))
    }
}

/// The bytes of an answer. Statuses without a body have no length, either (RFC 9110, section 8.6).
pub(super) fn answer(status: u16, headers: &[(&str, String)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} x\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if status != 204 {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}
