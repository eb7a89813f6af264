//! Serves connections until shutdown.
//!
//! Connections are bounded in number and time; a failed accept does not end the service. On shutdown, no connection is
//! accepted any more, requests in progress are finished, and those that exceed the deadline are aborted.

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time,
};
use tracing::{debug, warn};
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

/// The pause after a failed accept: the cause (no file descriptors) does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `shutdown`. Returns how many connections were aborted.
pub(crate) async fn serve(
    listener: TcpListener,
    context: Arc<Context>,
    shutdown: impl Future<Output = ()>,
    settings: ServeSettings,
) -> usize {
    let filter = routes(context);
    let free = Arc::new(Semaphore::new(settings.max_connections));
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            let permit = Arc::clone(&free).acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (permit, accepted) = next => match accepted {
                Ok((stream, peer)) => {
                    let serving = connection(stream, peer, filter.clone(), stopping.clone(), settings);
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    warn!("a connection cannot be accepted: {error}");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if time::timeout(settings.drain, drained).await.is_ok() {
        return 0;
    }
    let cut = connections.len();
    connections.shutdown().await;
    cut
}

async fn connection<F>(
    stream: TcpStream,
    peer: SocketAddr,
    filter: F,
    mut stopping: watch::Receiver<bool>,
    settings: ServeSettings,
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
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let stopped = async { drop(stopping.wait_for(|stop| *stop).await) };
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopped => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!("connection from {}: {error}", peer.ip());
    }
}
