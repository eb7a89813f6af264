//! Connections and requests of the listener for metrics.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use couic_common::Group;
use couic_httpd::{
    Acceptor, Exposition, Overload, ServeSummary, Shares, Source, Standing, Watcher,
};
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use crate::api::{Api, bearer, exposition};

/// Connections at a time. A host has a share, other than this one.
const SHARES: Shares = Shares {
    total: 32,
    per_source: 4,
    reserve: 8,
};

/// The largest request head: the smallest that hyper takes.
const BUFFER: usize = 8 * 1024;

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(10);

/// How long a connection may take, from the first byte of the request to the last one of the answer.
pub(super) const LIFETIME: Duration = Duration::from_secs(30);

/// How long requests may continue after the stop signal.
const DRAIN: Duration = Duration::from_secs(2);

/// Scrapes that are rendered at a time: however many come, the rules and the API keep their processors.
static RENDERING: Semaphore = Semaphore::const_new(1);

type Answer = Response<Full<Bytes>>;

pub(super) async fn serve(
    listener: TcpListener,
    api: Arc<Api>,
    needs_token: bool,
    shutdown: impl Future<Output = ()>,
) -> ServeSummary {
    let acceptor = Acceptor {
        name: "the listener for metrics",
        shares: SHARES,
        source: |(_, peer): &(TcpStream, SocketAddr)| Source::host(peer.ip()),
        overload: Overload::Wait,
        drain: DRAIN,
        counts: Arc::clone(&api.metrics.scrape_connections),
    };
    let serve = |(stream, peer), stopping, standing| {
        let connection = one_request(stream, Arc::clone(&api), needs_token, (stopping, standing));
        async move {
            if timeout(LIFETIME, connection).await.is_err() {
                tracing::debug!("a scrape by {peer} timed out");
            }
        }
    };
    acceptor.run(listener, shutdown, serve).await
}

async fn one_request(
    stream: TcpStream,
    api: Arc<Api>,
    needs_token: bool,
    (stopping, standing): (Watcher, Standing),
) {
    let service = service_fn(move |request: Request<Incoming>| {
        // From here on the connection keeps its place: its lifetime is short.
        standing.keep(true);
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(answer(&request, api, needs_token).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = stopping.watch(connection).await {
        tracing::debug!("a connection to the listener for metrics ended: {error}");
    }
}

async fn answer(request: &Request<Incoming>, api: Arc<Api>, needs_token: bool) -> Answer {
    if request.uri().path() != "/metrics" {
        return text(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "use GET or HEAD\n");
        let allowed = header::HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(header::ALLOW, allowed);
        return refusal;
    }
    if needs_token && let Err(why) = authorize(&api, request.headers()) {
        let mut refusal = text(StatusCode::UNAUTHORIZED, why);
        let scheme = header::HeaderValue::from_static("Bearer");
        let headers = refusal.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, scheme);
        return refusal;
    }
    if !request.body().is_end_stream() {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "send no body\n");
    }
    let format = exposition(request.headers(), Exposition::Text);
    scrape(api, format).await
}

async fn scrape(api: Arc<Api>, format: Exposition) -> Answer {
    // The semaphore is never closed.
    let place = RENDERING.acquire().await;
    let render = move || {
        // Held by the work itself, which goes on if the connection ends before it.
        let _place = place;
        format.render(&api.metric_families())
    };
    let rendered = tokio::task::spawn_blocking(render).await;
    match rendered {
        Ok(body) => with_type(StatusCode::OK, format.content_type(), body),
        Err(error) => {
            tracing::error!("metrics cannot be rendered, which is a bug: {error}");
            let message = "metrics cannot be rendered: see the log of couic\n";
            text(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    }
}

/// Only of group monitoring: a token with more rights does not belong on a network in clear.
fn authorize(api: &Api, headers: &HeaderMap) -> Result<(), String> {
    let token = bearer(headers)
        .ok_or("send Authorization: Bearer with the token of a client of group monitoring\n")?;
    let who = api.clients.authenticate(&token, api.firewall.now());
    let who = who.map_err(|refused| format!("{refused}\n"))?;
    if who.group == Group::Monitoring {
        return Ok(());
    }
    Err(
        "this token is not of a client of group monitoring: make one with couicctl clients add -n prometheus -g monitoring\n".to_owned(),
    )
}

fn text(status: StatusCode, message: impl Into<Bytes>) -> Answer {
    with_type(status, "text/plain; charset=utf-8", message)
}

fn with_type(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
