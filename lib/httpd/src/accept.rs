//! Accepts connections until shutdown, then drains them.

use std::{fmt, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::{Id, JoinError, JoinSet},
    time::{self, Instant},
};

use crate::{
    connections::ConnectionCounts,
    places::{Places, Shares, Source, Standing},
};

/// The pause after a failed accept. Mostly the process has no file descriptor left: connections have to close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Complaints of one kind are logged no more often, whatever clients do.
const LOG_PAUSE: Duration = Duration::from_secs(60);

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
    /// They wait in the kernel's backlog; those beyond the share of their source are closed.
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
#[derive(Clone, Debug)]
pub struct Acceptor<C> {
    /// The name of the service in the log.
    pub name: &'static str,
    /// How many connections there may be, and of whom.
    pub shares: Shares,
    /// Who opened a connection.
    pub source: fn(&C) -> Source,
    /// The treatment of more.
    pub overload: Overload<C>,
    /// How long requests may continue after the stop signal.
    pub drain: Duration,
    /// Where connections are counted while the service runs.
    pub counts: Arc<ConnectionCounts>,
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
    /// `serve` passes its connection through [`Watcher::watch`], which closes it after the request in progress, and says
    /// by its [`Standing`] when it may be ended for the sake of a new connection.
    pub async fn run<L, F>(
        &self,
        listener: L,
        shutdown: impl Future<Output = ()>,
        serve: impl Fn(C, Watcher, Standing) -> F,
    ) -> ServeSummary
    where
        L: Listener<Connection = C>,
        F: Future<Output = ()> + Send + 'static,
    {
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut places = Places::new(self.shares);
        let mut summary = ServeSummary::default();
        let mut logged = Logged::default();
        let mut shutdown = pin!(shutdown);
        loop {
            let accepts = matches!(self.overload, Overload::Refuse(_)) || places.has_room();
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next_with_id() => {
                    places.give_up(ended_task(ended));
                    self.counts.set_open(connections.len());
                }
                accepted = listener.accept(), if accepts => match accepted {
                    Err(error) => {
                        logged.accept_failed(self.name, &error);
                        time::sleep(ACCEPT_PAUSE).await;
                    }
                    Ok(connection) => {
                        let source = (self.source)(&connection);
                        if places.make_room(source) {
                            summary.served += 1;
                            let standing = Standing::default();
                            let work = serve(connection, graceful.watcher(), standing.clone());
                            places.take(source, standing, connections.spawn(work));
                            self.counts.served(connections.len());
                        } else {
                            summary.refused += 1;
                            self.counts.refused();
                            logged.too_many(self, source);
                            self.refuse(connection);
                        }
                    }
                },
                // A connection that becomes idle may be closed for a new one.
                () = time::sleep(ACCEPT_PAUSE), if !accepts => {}
            }
        }
        drop(listener);
        summary.aborted = drain(graceful, connections, self.drain).await;
        summary
    }

    fn refuse(&self, connection: C) {
        match self.overload {
            Overload::Refuse(refuse) => refuse(connection),
            Overload::Wait => drop(connection),
        }
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

fn ended_task(ended: Result<(Id, ()), JoinError>) -> Id {
    match ended {
        Ok((id, ())) => id,
        Err(error) => {
            let id = error.id();
            log_panic(Err(error));
            id
        }
    }
}

/// A panic outside of the handlers, which catch their own.
fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && !error.is_cancelled()
    {
        tracing::error!("a connection was lost, which is a bug: {error}");
    }
}

/// When complaints were logged.
#[derive(Default)]
struct Logged {
    too_many: Option<Instant>,
    accept: Option<Instant>,
}

impl Logged {
    fn too_many<C>(&mut self, of: &Acceptor<C>, source: Source) {
        if is_due(&mut self.too_many) {
            let Shares {
                total, per_source, ..
            } = of.shares;
            tracing::warn!(
                "{} refuses connections of {source}: there may be {total}, and {per_source} of one source; close some",
                of.name
            );
        }
    }

    fn accept_failed(&mut self, name: &str, error: &io::Error) {
        if is_due(&mut self.accept) {
            tracing::error!("no connection to {name} can be taken at present: {error}");
        }
    }
}

fn is_due(last: &mut Option<Instant>) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= LOG_PAUSE);
    if due {
        *last = Some(Instant::now());
    }
    due
}

#[cfg(test)]
mod tests;
