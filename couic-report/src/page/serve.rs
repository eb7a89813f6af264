//! Serves the page on its own port: connections, requests and bodies are bounded apart from those of the reports.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use couic_httpd::{Acceptor, Known, Overload, Shares, Source, Standing, Watcher};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, service::service_fn};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};
use warp::http::{Method, Request, StatusCode, request::Parts};

use super::{
    Page,
    form::LARGEST,
    reply::{self, Answer},
    route,
};
use crate::http::connection::{self, Bounds};

/// Connections at a time. A host has a share, other than this one, where a proxy may be. Those of users who are logged in
/// are kept when others make room.
const SHARES: Shares = Shares {
    total: 128,
    per_source: 32,
    reserve: 0,
};

/// Requests that are answered at a time, and how long others wait.
const REQUESTS: usize = 16;
const WAIT: Duration = Duration::from_secs(5);

/// The longest time to answer one.
const ANSWER: Duration = Duration::from_secs(30);

const BOUNDS: Bounds = Bounds {
    head: 16 * 1024,
    patience: Duration::from_secs(30),
};

/// The timeout of a form's body.
const BODY: Duration = Duration::from_secs(10);

/// How long requests may continue after the stop signal.
const DRAIN: Duration = Duration::from_secs(3);

/// Serves until `shutdown`.
pub(crate) async fn serve(
    listener: TcpListener,
    page: Arc<Page>,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(REQUESTS));
    let acceptor = Acceptor {
        name: "the page of couic-report",
        shares: SHARES,
        source: |(_, peer): &(TcpStream, SocketAddr)| Source::host(peer.ip()),
        overload: Overload::Wait,
        drain: DRAIN,
        counts: page.connections(),
    };
    let serve = |connection, stopping, standing| {
        let (page, places) = (Arc::clone(&page), Arc::clone(&places));
        serve_connection(connection, page, places, stopping, standing)
    };
    acceptor.run(listener, shutdown, serve).await;
}

async fn serve_connection(
    (stream, peer): (TcpStream, SocketAddr),
    page: Arc<Page>,
    places: Arc<Semaphore>,
    stopping: Watcher,
    standing: Standing,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (page, places) = (Arc::clone(&page), Arc::clone(&places));
        let standing = standing.clone();
        async move {
            standing.keep(true);
            let answer = one(request, peer, &page, &places).await;
            standing.keep(answer.extensions().get::<Known>().is_some());
            Ok::<_, Infallible>(answer)
        }
    });
    connection::serve((stream, peer), BOUNDS, service, stopping).await;
}

/// Answers one request, within its bounds.
async fn one(
    request: Request<Incoming>,
    peer: SocketAddr,
    page: &Arc<Page>,
    places: &Semaphore,
) -> Answer {
    let (parts, body) = request.into_parts();
    // The body is read before a place is taken: a slow sender holds none.
    let body = match body_of(&parts, body).await {
        Ok(body) => body,
        Err(status) => return short(status),
    };
    let Ok(Ok(_place)) = time::timeout(WAIT, places.acquire()).await else {
        return short(StatusCode::SERVICE_UNAVAILABLE);
    };
    let answered = route::answer(page, &parts, &body, peer.ip());
    match time::timeout(ANSWER, answered).await {
        Ok(answer) => answer,
        Err(_) => short(StatusCode::GATEWAY_TIMEOUT),
    }
}

async fn body_of(parts: &Parts, body: Incoming) -> Result<Bytes, StatusCode> {
    if parts.method != Method::POST {
        return Ok(Bytes::new());
    }
    match time::timeout(BODY, Limited::new(body, LARGEST).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// An answer before, or instead of, a page.
fn short(status: StatusCode) -> Answer {
    let text = match status {
        StatusCode::SERVICE_UNAVAILABLE => "too many requests at a time: try again",
        StatusCode::PAYLOAD_TOO_LARGE => "the form is too large, or was cut",
        StatusCode::REQUEST_TIMEOUT => "the form did not arrive in time",
        _ => "the answer took too long: try again",
    };
    let text = format!("{status}: {text}\n");
    reply::finished(reply::with(status, "text/plain; charset=utf-8", text))
}
