//! Answers, and the headers that every one of them has.
//!
//! The content security policy allows files of this origin only: no inline script or style, no foreign host, no frame.

use askama::Template;
use bytes::Bytes;
use http_body_util::Full;
use serde::Serialize;
use warp::http::{HeaderName, HeaderValue, Response, StatusCode, header};

/// An answer of the page.
pub(super) type Answer = Response<Full<Bytes>>;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `same-origin` for the referrer: with `no-referrer`, browsers send `Origin: null` with a form.
const EVERYWHERE: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    ),
    (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
];

/// An answer with a body.
pub(super) fn with(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// A rendered page. A template writes into memory, so an error is a defect.
pub(super) fn html(status: StatusCode, template: &impl Template) -> Answer {
    match template.render() {
        Ok(text) => with(status, "text/html; charset=utf-8", text),
        Err(error) => {
            tracing::error!("page: a template cannot be rendered: {error}");
            let text = "500: the page cannot be rendered; the log of couic-report says why\n";
            with(
                StatusCode::INTERNAL_SERVER_ERROR,
                "text/plain; charset=utf-8",
                text,
            )
        }
    }
}

/// A document for the scripts of the page.
pub(super) fn json(body: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(body).unwrap_or_else(|_| b"null".to_vec());
    with(StatusCode::OK, "application/json", text)
}

/// Sends the browser to a path of this page. The path must be a valid header value, else it is `/`.
pub(super) fn see(path: &str) -> Answer {
    let mut answer = with(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    answer.headers_mut().insert(header::LOCATION, path);
    answer
}

/// The same answer with one more header.
pub(super) fn and(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// The answer with the headers of every answer. Nothing is stored unless it says otherwise.
pub(super) fn finished(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    for (name, value) in EVERYWHERE {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let store = headers.entry(header::CACHE_CONTROL);
    store.or_insert(HeaderValue::from_static("no-store"));
    answer
}
