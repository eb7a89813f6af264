//! Serves the API on a Unix socket until shutdown.
//!
//! Connections are bounded in number and by timeouts; a failed accept does not end the service. On shutdown no more
//! connections are accepted, idle ones are closed, requests in progress are finished, and at the deadline the remaining
//! connections are aborted.

use std::{future::Future, sync::Arc, time::Duration};

use couic_httpd::{Acceptor, Overload, ServeSummary};
use tokio::net::{UnixListener, UnixStream};

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
    /// How long a client may leave a response unread.
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
    let acceptor = Acceptor {
        name: "the API",
        max_connections: settings.max_connections,
        overload: Overload::Refuse(refuse),
        drain: settings.drain,
    };
    let serve = |stream, stopping| {
        let commit = Arc::new(OwedCommit::new(Arc::clone(&firewall)));
        serve_connection(stream, filter.clone(), commit, stopping, settings)
    };
    acceptor.run(listener, shutdown, serve).await
}

/// The answer fits the socket's buffer; otherwise it is not sent.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the connection ends with this function"
)]
fn refuse(stream: UnixStream) {
    drop(stream.try_write(BUSY));
}
