//! Serves the routes on TCP until shutdown: `couic_httpd` with the limits of couic-report.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use couic_httpd::{Acceptor, Overload, ServeSummary, Watcher};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;
use warp::http::Request;

use super::{Context, routes};

/// Most connections at a time.
const MAX_CONNECTIONS: usize = 1024;

/// Timeout of a request's head, and of an idle connection.
const HEAD: Duration = Duration::from_secs(60);

/// How long requests may continue after the stop signal.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until `shutdown`.
pub(crate) async fn serve(
    listener: TcpListener,
    context: Arc<Context>,
    shutdown: impl Future<Output = ()>,
) -> ServeSummary {
    let filter = routes(context);
    let acceptor = Acceptor {
        name: "couic-report",
        max_connections: MAX_CONNECTIONS,
        overload: Overload::Wait,
        drain: DRAIN,
    };
    let serve = |connection, stopping| serve_connection(connection, filter.clone(), stopping);
    acceptor.run(listener, shutdown, serve).await
}

async fn serve_connection<F>((stream, peer): (TcpStream, SocketAddr), filter: F, stopping: Watcher)
where
    F: warp::Filter<Extract = (warp::reply::Response,), Error = std::convert::Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
{
    // Responses are small: Nagle's algorithm would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        debug!("TCP_NODELAY: {error}");
    }
    let inner = TowerToHyperService::new(warp::service(filter));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        inner.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = stopping.watch(connection).await {
        debug!("connection from {}: {error}", peer.ip());
    }
}
