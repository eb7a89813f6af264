//! Accepts connections until shutdown, then drains them.

use std::{fmt, future::Future, io, mem, net::SocketAddr, pin::pin, time::Duration};

use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::{JoinError, JoinSet},
    time,
};

/// The pause after a failed accept. Mostly the process has no file descriptor left: connections have to close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that accepts connections.
pub trait Listener {
    /// An accepted connection.
    type Connection;

    /// Waits for the next connection. Cancel safe.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Listener for UnixListener {
    type Connection = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.accept().await?;
        Ok(stream)
    }
}

impl Listener for TcpListener {
    type Connection = (TcpStream, SocketAddr);

    async fn accept(&self) -> io::Result<Self::Connection> {
        self.accept().await
    }
}

/// The treatment of connections beyond the limit.
#[derive(Clone, Copy)]
pub enum Overload<C> {
    /// They wait in the kernel's backlog.
    Wait,
    /// They are handed to this function, which answers without blocking, and closed.
    Refuse(fn(C)),
}

impl<C> fmt::Debug for Overload<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wait => "Wait",
            Self::Refuse(_) => "Refuse",
        })
    }
}

/// Limits of a service.
#[derive(Clone, Copy, Debug)]
pub struct Acceptor<C> {
    /// The name of the service in the log.
    pub name: &'static str,
    /// Most connections at a time.
    pub max_connections: usize,
    /// The treatment of more.
    pub overload: Overload<C>,
    /// How long requests may continue after the stop signal.
    pub drain: Duration,
}

/// Counts of a service that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServeSummary {
    /// Connections served.
    pub served: u64,
    /// Connections refused because there were too many.
    pub refused: u64,
    /// Connections aborted at the deadline.
    pub aborted: usize,
}

impl<C> Acceptor<C> {
    /// Serves each connection on a task of its own until `shutdown`, then lets requests finish until the deadline.
    ///
    /// `serve` passes its connection through [`Watcher::watch`], which closes it after the request in progress.
    pub async fn run<L, F>(
        &self,
        listener: L,
        shutdown: impl Future<Output = ()>,
        serve: impl Fn(C, Watcher) -> F,
    ) -> ServeSummary
    where
        L: Listener<Connection = C>,
        F: Future<Output = ()> + Send + 'static,
    {
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut summary = ServeSummary::default();
        let mut logged = Logged::default();
        let mut shutdown = pin!(shutdown);
        loop {
            let full = connections.len() >= self.max_connections;
            let accepts = !full || matches!(self.overload, Overload::Refuse(_));
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => log_panic(ended),
                accepted = listener.accept(), if accepts => match (accepted, &self.overload) {
                    (Err(error), _) => {
                        logged.accept_failed(self.name, &error);
                        time::sleep(ACCEPT_PAUSE).await;
                    }
                    (Ok(connection), Overload::Refuse(refuse)) if full => {
                        summary.refused += 1;
                        logged.too_many(self.name, self.max_connections);
                        refuse(connection);
                    }
                    (Ok(connection), _) => {
                        summary.served += 1;
                        logged = Logged::default();
                        connections.spawn(serve(connection, graceful.watcher()));
                    }
                },
            }
        }
        drop(listener);
        summary.aborted = drain(graceful, connections, self.drain).await;
        summary
    }
}

/// Returns the number of aborted connections.
async fn drain(
    graceful: GracefulShutdown,
    mut connections: JoinSet<()>,
    deadline: Duration,
) -> usize {
    let joined = async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    };
    let drained = async { tokio::join!(graceful.shutdown(), joined) };
    if time::timeout(deadline, drained).await.is_ok() {
        return 0;
    }
    let aborted = connections.len();
    connections.shutdown().await;
    aborted
}

/// A panic outside of the handlers, which catch their own.
fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && !error.is_cancelled()
    {
        tracing::error!("a connection was lost, which is a bug: {error}");
    }
}

/// Complaints since the last accepted connection: each is logged once.
#[derive(Default)]
struct Logged {
    too_many: bool,
    accept: bool,
}

impl Logged {
    fn too_many(&mut self, name: &str, limit: usize) {
        if !mem::replace(&mut self.too_many, true) {
            tracing::warn!(
                "{limit} connections to {name} are open: more are refused until some close"
            );
        }
    }

    fn accept_failed(&mut self, name: &str, error: &io::Error) {
        if !mem::replace(&mut self.accept, true) {
            tracing::error!("no connection to {name} can be taken at present: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
