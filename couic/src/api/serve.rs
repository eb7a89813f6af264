//! Serving the API on a Unix socket until told to stop.
//!
//! Connections are bounded in number and in patience; an accept that fails does not end the service. On shutdown no
//! connection is taken any more, idle ones are closed, requests under way are finished, and what is not done at the
//! deadline is cut off.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::service::TowerToHyperService;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
    time::{self, MissedTickBehavior},
};
use warp::{
    Filter, Rejection,
    http::{Request, Uri, header},
    reply,
};

use super::{
    Api, routes,
    wire::{Patience, Progress, Settle, Wire},
};

/// The largest head of a request, and what is buffered of an answer.
const BUFFER: usize = 64 * 1024;

/// What a connection beyond the limit is told.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\ncontent-length: 85\r\nconnection: close\r\n\r\n\
    {\"code\":\"internal\",\"message\":\"too many connections: close some, or wait\",\"errors\":{}}";

/// Limits of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// How many connections there may be. Beyond, they are told so and closed.
    pub max_connections: usize,
    /// How long a connection may be idle.
    pub idle: Duration,
    /// How long the head of a request may take from its first byte.
    pub head: Duration,
    /// How long a client may leave an answer unread.
    pub write: Duration,
    /// How long requests may go on after the signal to stop.
    pub drain: Duration,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            idle: Duration::from_secs(300),
            head: Duration::from_secs(10),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// What the service did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServeSummary {
    /// Connections that were served.
    pub served: u64,
    /// Connections that were refused because there were too many.
    pub refused: u64,
    /// Connections that were cut off at the deadline.
    pub aborted: usize,
}

/// Serves until `shutdown`, then lets requests finish for at most `deadline`.
pub async fn serve(
    listener: UnixListener,
    api: Arc<Api>,
    shutdown: impl Future<Output = ()>,
    deadline: Duration,
) -> ServeSummary {
    let settings = ServeSettings {
        drain: deadline,
        ..ServeSettings::default()
    };
    serve_with(listener, api, shutdown, settings).await
}

/// [`serve`], with limits of one's own.
pub async fn serve_with(
    listener: UnixListener,
    api: Arc<Api>,
    shutdown: impl Future<Output = ()>,
    settings: ServeSettings,
) -> ServeSummary {
    let firewall = Arc::clone(&api.firewall);
    let settle: Settle = Arc::new(move || firewall.commit());
    let filter = routes(api);
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut summary = ServeSummary::default();
    let mut complaints = Complaints::default();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept() => match accepted {
                Err(error) => complaints.accept_failed(&error).await,
                Ok((stream, _)) if connections.len() >= settings.max_connections => {
                    summary.refused += 1;
                    complaints.too_many(settings.max_connections);
                    // The answer fits the socket's buffer, or nobody waits for it.
                    drop(stream.try_write(BUSY));
                }
                Ok((stream, _)) => {
                    summary.served += 1;
                    complaints.accepted();
                    let stopping = stopping.clone();
                    let settle = Arc::clone(&settle);
                    let served = connection(stream, filter.clone(), settle, stopping, settings);
                    connections.spawn(served);
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if time::timeout(settings.drain, drained).await.is_err() {
        summary.aborted = connections.len();
        connections.shutdown().await;
    }
    summary
}

/// A connection's task panicked, outside of any handler.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && !error.is_cancelled()
    {
        tracing::error!("a connection was lost, which is a bug: {error}");
    }
}

/// What was said in the log already, so that it is said once.
#[derive(Default)]
struct Complaints {
    too_many: bool,
    accept: bool,
}

impl Complaints {
    fn accepted(&mut self) {
        *self = Self::default();
    }

    fn too_many(&mut self, limit: usize) {
        if !std::mem::replace(&mut self.too_many, true) {
            tracing::warn!(
                "{limit} connections to the API are open: more are refused until some close"
            );
        }
    }

    /// Mostly the process has no file descriptor left: others have to close first.
    async fn accept_failed(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.accept, true) {
            tracing::error!("no connection to the API can be taken at present: {error}");
        }
        time::sleep(Duration::from_millis(100)).await;
    }
}

/// `CONNECT host:port` and `GET host` have no path at all, on which warp panics: they get a 404.
fn give_a_path(request: &mut Request<Incoming>) {
    if request.uri().path_and_query().is_none() {
        *request.uri_mut() = Uri::from_static("/");
    }
}

async fn connection<F>(
    stream: UnixStream,
    filter: F,
    settle: Settle,
    mut stopping: watch::Receiver<bool>,
    settings: ServeSettings,
) where
    F: Filter<Extract = (reply::Response,), Error = Rejection> + Clone + Send + Sync + 'static,
{
    let patience = Patience {
        idle: settings.idle,
        head: settings.head,
        write: settings.write,
    };
    let progress = Arc::new(Progress::new());
    let wire = Wire::new(stream, Arc::clone(&progress), settle);
    let routes = TowerToHyperService::new(warp::service(filter));
    let service = service_fn(|mut request: Request<Incoming>| {
        give_a_path(&mut request);
        let progress = &progress;
        progress.begin();
        let long_body = request
            .body()
            .size_hint()
            .upper()
            .is_none_or(|n| n > BUFFER as u64);
        let may_change = !request.method().is_safe();
        let answer = routes.call(request);
        async move {
            let answer = answer.await;
            progress.end(may_change);
            if let Ok(response) = &answer {
                let last = response.headers().contains_key(header::CONNECTION);
                let unread = long_body && response.status().is_client_error();
                progress.linger.store(last || unread, Relaxed);
            }
            answer
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(BUFFER)
            .serve_connection(wire, service)
    );
    let mut checks = time::interval(settings.head.min(settings.write) / 4);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!("a connection ended: {error}");
                }
                return;
            }
            _ = stopping.wait_for(|stop| *stop), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            _ = checks.tick() => if let Some(stall) = progress.stalled(patience) {
                tracing::debug!(?stall, "a connection was given up");
                return;
            }
        }
    }
}
