//! Serves the API on a Unix socket until shutdown.
//!
//! Connections are bounded in number, in all and for each user, and by timeouts; a few are kept for root and the daemon's
//! user; those that never sent a valid token make room for new ones. A failed accept does not end the service. On
//! shutdown no more connections are accepted, idle ones are closed, requests in progress are finished, and at the
//! deadline the remaining connections are aborted.

use std::{future::Future, sync::Arc, time::Duration};

use couic_httpd::{Acceptor, Overload, ServeSummary, Shares, Source};
use nix::unistd::geteuid;
use tokio::{
    io::AsyncWriteExt,
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

use super::{
    Api,
    commit::OwedCommit,
    connection::{Turn, serve_connection},
    routes,
};

/// The answer to a connection beyond the limit.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\ncontent-length: 85\r\nconnection: close\r\n\r\n\
    {\"code\":\"internal\",\"message\":\"too many connections: close some, or wait\",\"errors\":{}}";

/// How many refused connections may send their request before they get that answer: clients do not expect it earlier.
static REFUSALS: Semaphore = Semaphore::const_new(64);

/// How long a refused connection may take for that, and then for reading the answer.
const REFUSAL: Duration = Duration::from_secs(1);

/// Limits of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// How many connections there may be. Further ones get a 503 and are closed.
    pub max_connections: usize,
    /// How many of them one user may have, other than root and the daemon's user.
    pub per_user: usize,
    /// How many of them are kept for root and the daemon's user.
    pub reserve: usize,
    /// How long a connection may be idle.
    pub idle: Duration,
    /// The same before its first valid token.
    pub newcomer: Duration,
    /// How long the head of a request may take from its first byte.
    pub head: Duration,
    /// How long a client may leave a response unread.
    pub write: Duration,
    /// How long requests may continue after the signal to stop.
    pub drain: Duration,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            per_user: 1024,
            reserve: 64,
            idle: Duration::from_secs(300),
            newcomer: Duration::from_secs(10),
            head: Duration::from_secs(10),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
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
    let counts = Arc::clone(&api.metrics.api_connections);
    let events = Arc::clone(&api.events);
    let filter = routes(api);
    let ended = events.ended();
    let shutdown = async move {
        shutdown.await;
        // They have no end of their own.
        events.end();
    };
    let acceptor = Acceptor {
        name: "the API",
        shares: Shares {
            total: settings.max_connections,
            per_source: settings.per_user,
            reserve: settings.reserve,
        },
        source: user_of,
        overload: Overload::Refuse(refuse),
        drain: settings.drain,
        counts,
    };
    let serve = |stream, stopping, standing| {
        let commit = Arc::new(OwedCommit::new(Arc::clone(&firewall)));
        serve_connection(
            stream,
            filter.clone(),
            commit,
            Turn {
                stopping,
                standing,
                ended: ended.clone(),
            },
            settings,
        )
    };
    acceptor.run(listener, shutdown, serve).await
}

fn user_of(stream: &UnixStream) -> Source {
    let uid = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
    Source::user(uid, uid == 0 || uid == geteuid().as_raw())
}

/// HTTP libraries take an answer that comes before their request for a broken connection, so the request is awaited, by
/// a bounded number of tasks. More connections are answered at once.
fn refuse(stream: UnixStream) {
    match REFUSALS.try_acquire() {
        // The answer fits the socket's buffer; otherwise it is not sent.
        Err(_) => drop(stream.try_write(BUSY)),
        Ok(place) => drop(tokio::spawn(async move {
            refuse_politely(stream).await;
            drop(place);
        })),
    }
}

async fn refuse_politely(mut stream: UnixStream) {
    let _ = timeout(REFUSAL, stream.readable()).await;
    let _ = stream.try_write(BUSY);
    let _ = stream.shutdown().await;
    // Closing with unread data would be a reset.
    let _ = timeout(REFUSAL, async {
        let mut space = [0; 4096];
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut space) {
                Ok(0) => return,
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    })
    .await;
}
