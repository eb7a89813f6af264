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

/// Limits of the service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServeSettings {
    /// Most connections at a time. Others wait in the kernel's backlog.
    pub(crate) max_connections: usize,
    /// Timeout of a request's head, and of an idle connection.
    pub(crate) head: Duration,
    /// How long requests may continue after the stop signal.
    pub(crate) drain: Duration,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            head: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}

/// Serves until `shutdown`.
pub(crate) async fn serve(
    listener: TcpListener,
    context: Arc<Context>,
    shutdown: impl Future<Output = ()>,
    settings: ServeSettings,
) -> ServeSummary {
    let filter = routes(context);
    let acceptor = Acceptor {
        name: "couic-report",
        max_connections: settings.max_connections,
        overload: Overload::Wait,
        drain: settings.drain,
    };
    let serve = |connection, stopping| {
        serve_connection(connection, filter.clone(), stopping, settings.head)
    };
    acceptor.run(listener, shutdown, serve).await
}

async fn serve_connection<F>(
    (stream, peer): (TcpStream, SocketAddr),
    filter: F,
    stopping: Watcher,
    head: Duration,
) where
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
    builder.timer(TokioTimer::new()).header_read_timeout(head);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = stopping.watch(connection).await {
        debug!("connection from {}: {error}", peer.ip());
    }
}
