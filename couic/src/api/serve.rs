//! Serves the API on a Unix socket until shutdown.
//!
//! Connections are bounded in number and by timeouts; a failed accept does not end the service. On shutdown no more
//! connections are accepted, idle ones are closed, requests in progress are finished, and at the deadline the remaining
//! connections are aborted.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use tokio::{net::UnixListener, sync::watch, task::JoinSet, time};

use super::{Api, commit::OwedCommit, connection::serve_connection, routes};

/// The answer to a connection beyond the limit.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\ncontent-length: 85\r\nconnection: close\r\n\r\n\
    {\"code\":\"internal\",\"message\":\"too many connections: close some, or wait\",\"errors\":{}}";

/// Limits of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// How many connections there may be. Further ones get a 503 and are closed.
    pub max_connections: usize,
    /// How long a connection may be idle.
    pub idle: Duration,
    /// How long the head of a request may take from its first byte.
    pub head: Duration,
    /// How long a client may leave an answer unread.
    pub write: Duration,
    /// How long requests may continue after the signal to stop.
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

/// Counters of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServeSummary {
    /// Connections that were served.
    pub served: u64,
    /// Connections that were refused because there were too many.
    pub refused: u64,
    /// Connections that were aborted at the deadline.
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

/// [`serve`], with other limits.
pub async fn serve_with(
    listener: UnixListener,
    api: Arc<Api>,
    shutdown: impl Future<Output = ()>,
    settings: ServeSettings,
) -> ServeSummary {
    let firewall = Arc::clone(&api.firewall);
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
                    // The answer fits the socket's buffer; otherwise it is dropped.
                    drop(stream.try_write(BUSY));
                }
                Ok((stream, _)) => {
                    summary.served += 1;
                    complaints.accepted();
                    let stopping = stopping.clone();
                    let commit = Arc::new(OwedCommit::new(Arc::clone(&firewall)));
                    let served = serve_connection(stream, filter.clone(), commit, stopping, settings);
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

/// Logs a panic of a connection's task outside of any handler.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && !error.is_cancelled()
    {
        tracing::error!("a connection was lost, which is a bug: {error}");
    }
}

/// The warnings that were logged already, so that each is logged once.
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

    /// Usually the process has run out of file descriptors: other connections have to close first.
    async fn accept_failed(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.accept, true) {
            tracing::error!("connections to the API cannot be accepted at present: {error}");
        }
        time::sleep(Duration::from_millis(100)).await;
    }
}
