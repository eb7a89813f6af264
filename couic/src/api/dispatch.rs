//! The pipeline of every request: path and method, token, path variables, body, handler, response, metrics.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use bytes::Bytes;
use couic_common::{PANIC_HEADER, Rail};
use couic_firewall::rules::Request;
use couic_httpd::{Chunks, Exposition, Known};
use futures_util::FutureExt;
use warp::{
    filters::path::FullPath,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    reply,
};

use super::{
    Api,
    answer::Outcome,
    auth, batch,
    body::{Body, Content, read_all},
    call::{Call, exposition, last_event_id, wants_lines},
    confirm,
    error::Fault,
    guard,
    origin::{self, UnixPeer, on_behalf},
    scope, set_list,
    table::{self, Found, Run},
};

/// Longer bodies take milliseconds, so they are handled on a blocking thread.
const MAX_INLINE: usize = 64 * 1024;

/// [`couic_common::REQUEST_ID_HEADER`].
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything before the body.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) path: FullPath,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) peer: Option<UnixPeer>,
}

/// Answers one request; errors and panics become answers, too.
pub(super) async fn dispatch<S: Chunks>(api: Arc<Api>, head: Head, body: S) -> reply::Response {
    let started = Instant::now();
    let metrics = Arc::clone(&api.metrics);
    let firewall = Arc::clone(&api.firewall);
    let Head {
        method,
        path,
        query,
        headers,
        peer,
    } = head;
    let request = origin::request(&headers, peer);
    let found = table::find(path.as_str());
    let route = found.as_ref().map_or("unmatched", |f| f.path.pattern);
    let body = pin!(body);
    let known = AtomicBool::new(false);
    let work = answer(
        api,
        &method,
        found,
        query,
        &headers,
        body,
        (&known, &request),
    );
    let outcome = AssertUnwindSafe(on_behalf(&request, work))
        .catch_unwind()
        .await;
    let outcome = outcome.unwrap_or_else(|panic| Err(panicked(route, &*panic)));
    Request::on_behalf(Some(&request), || note(&method, path.as_str(), &outcome));
    request.answer();
    let head = method == Method::HEAD;
    let mut response = match outcome {
        Ok(answer) => answer.into_response(head),
        Err(fault) => fault.into_response(head),
    };
    if known.into_inner() {
        response.extensions_mut().insert(Known);
    }
    if let Ok(id) = HeaderValue::try_from(&*request.id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if firewall.passes_all() {
        let on = HeaderValue::from_static("on");
        response.headers_mut().insert(PANIC_HEADER, on);
    }
    let status = response.status().as_u16();
    metrics.observe_request(route, name(&method), status, started.elapsed());
    response
}

async fn answer<S: Chunks>(
    api: Arc<Api>,
    method: &Method,
    found: Option<Found<'_>>,
    query: Vec<(String, String)>,
    headers: &HeaderMap,
    body: Pin<&mut S>,
    (known, request): (&AtomicBool, &Request),
) -> Outcome {
    let found = found.ok_or_else(|| Fault::not_found("there is no such path"))?;
    let operation = found.operation(method)?;
    let clients = (&*api.clients, api.firewall.now());
    let who = auth::authorize(clients, headers, operation.access, request)?;
    known.store(who.is_some(), Relaxed);
    let params = found.params()?;
    scope::enter(who.as_deref(), operation, &params)?;
    let confirm_within = confirm::within(headers)?;
    if confirm_within.is_some() && !operation.confirmable {
        return Err(confirm::not_here());
    }
    let call = Call {
        api,
        who,
        params,
        query,
        wants_lines: wants_lines(headers),
        // As in Couic 1.0.
        exposition: exposition(headers, Exposition::OpenMetrics),
        last_event_id: last_event_id(headers),
        confirm_within,
    };
    // The undo record is written to the disk first.
    let waits = confirm_within.is_some();
    match operation.run {
        Run::Inline(run) if !waits => run(&call),
        Run::Inline(run) => blocking(move || run(&call)).await,
        Run::Body(run) => {
            let body = receive(headers, body, &call).await?;
            if body.bytes.len() <= MAX_INLINE && !waits {
                run(&call, &body)
            } else {
                blocking(move || run(&call, &body)).await
            }
        }
        Run::Blocking(run) => blocking(move || run(&call)).await,
        Run::BlockingBody(run) => {
            let body = receive(headers, body, &call).await?;
            blocking(move || run(&call, &body)).await
        }
        Run::Async(run) => run(call).await,
        // Boxed, so that the future of the other requests stays small.
        Run::Batch => Box::pin(batch::run(call, headers, body)).await,
        Run::SetList => Box::pin(set_list::run(call, headers, body)).await,
    }
}

pub(super) async fn receive<S: Chunks>(
    headers: &HeaderMap,
    body: Pin<&mut S>,
    call: &Call,
) -> Result<Body, Fault> {
    let content = Content::of(headers)?;
    let bytes: Bytes = read_all(body, announced(headers), call.who.as_deref()).await?;
    Ok(Body { content, bytes })
}

/// The Content-Length of a request.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// Runs long work on a thread that may block.
pub(super) async fn blocking(work: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    let request = Request::current();
    let work = move || Request::on_behalf(request.as_ref(), work);
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Fault::internal("running a request", &error)),
        },
    }
}

/// What the audit log has of a request besides its changes: that a write was refused, or went over guard rails.
fn note(method: &Method, path: &str, outcome: &Outcome) {
    match outcome {
        Err(fault) => {
            let status = fault.status.as_u16();
            tracing::debug!(%method, path, status, "request refused");
            let by_rail = guard::rail_of(fault).is_some();
            if !method.is_safe() && (matches!(status, 401 | 403) || by_rail) {
                let message = &fault.body.message;
                tracing::warn!(target: "couic::audit", action = "refused", "refused {method} {path}: {message}");
            }
        }
        Ok(answer) => {
            let rails: Vec<&str> = answer.lifted().iter().map(Rail::as_str).collect();
            if !rails.is_empty() {
                let rails = rails.join(", ");
                tracing::warn!(target: "couic::audit", action = "forced", "{method} {path} went over the guard rails {rails}");
            }
        }
    }
}

fn panicked(route: &str, panic: &(dyn Any + Send)) -> Fault {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message");
    tracing::error!(route, "a handler panicked, which is a bug: {text}");
    Fault::internal_logged()
}

/// The metrics label of a method: a bounded set.
fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}
