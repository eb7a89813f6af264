//! Serves the routes on TCP until shutdown: `couic_httpd` with the limits of couic-report.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use couic_httpd::{Acceptor, Known, Overload, ServeSummary, Shares, Source, Standing, Watcher};
use hyper::{
    body::Incoming,
    service::{Service as _, service_fn},
};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use warp::http::Request;

use super::{
    Context,
    connection::{self, Bounds},
    routes,
};

/// Connections at a time. A host has a share, other than this one, where a proxy may be; connections that never sent a
/// request with the secret make room for new ones.
const SHARES: Shares = Shares {
    total: 1024,
    per_source: 256,
    reserve: 0,
};

const BOUNDS: Bounds = Bounds {
    head: 64 * 1024,
    patience: Duration::from_secs(60),
};

/// How long requests may continue after the stop signal.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until `shutdown`.
pub(crate) async fn serve(
    listener: TcpListener,
    context: Arc<Context>,
    shutdown: impl Future<Output = ()>,
) -> ServeSummary {
    let counts = Arc::clone(&context.connections);
    let filter = routes(context);
    let acceptor = Acceptor {
        name: "couic-report",
        shares: SHARES,
        source: |(_, peer): &(TcpStream, SocketAddr)| Source::host(peer.ip()),
        overload: Overload::Wait,
        drain: DRAIN,
        counts,
    };
    let serve = |connection, stopping, standing| {
        serve_connection(connection, filter.clone(), stopping, standing)
    };
    acceptor.run(listener, shutdown, serve).await
}

async fn serve_connection<F>(
    (stream, peer): (TcpStream, SocketAddr),
    filter: F,
    stopping: Watcher,
    standing: Standing,
) where
    F: warp::Filter<Extract = (warp::reply::Response,), Error = std::convert::Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let inner = TowerToHyperService::new(warp::service(filter));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        standing.keep(true);
        let (answer, standing) = (inner.call(request), standing.clone());
        async move {
            let answer = answer.await;
            let known = answer.as_ref().map(|a| a.extensions().get::<Known>());
            standing.keep(known.is_ok_and(|known| known.is_some()));
            answer
        }
    });
    connection::serve((stream, peer), BOUNDS, service, stopping).await;
}
