//! What a program beside the daemon tells: `/metrics` and `/health` on a port of the loopback, for all of this machine, and
//! more of it on a Unix socket that only its own user and group may open: the control socket.

use std::{
    convert::Infallible,
    fs,
    future::Future,
    io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
};
use tracing::{debug, info, warn};

use crate::{Acceptor, Exposition, Family, Overload, Shares, Source, Standing, Watcher};

/// Connections at a time: scrapers and a few terminals.
const SHARES: Shares = Shares {
    total: 32,
    per_source: 16,
    reserve: 8,
};

/// Timeout of a request's head, and of an idle connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long requests may continue after the stop signal.
const DRAIN: Duration = Duration::from_secs(1);

/// Owner and group.
const MODE: u32 = 0o660;

/// How often a port is tried that could not be had.
const AGAIN: Duration = Duration::from_secs(2);

/// The answer to a request.
pub type Answer = Response<Full<Bytes>>;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Anybody on this machine.
    Anybody,
    /// Who may open the control socket.
    Group,
}

/// Why metrics are not served at present.
#[derive(Debug, Default)]
pub struct Unserved(Mutex<Option<String>>);

impl Unserved {
    /// In a sentence; None if they are served.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        self.0.lock().clone()
    }

    /// Whether this is news.
    fn set(&self, why: Option<String>) -> bool {
        let mut now = self.0.lock();
        let is_news = now.is_some() != why.is_some();
        *now = why;
        is_news
    }
}

/// The control socket, bound, and where metrics are to be served.
#[derive(Debug)]
pub struct SideListeners {
    metrics: Option<(SocketAddr, io::Result<TcpListener>)>,
    control: UnixListener,
}

impl SideListeners {
    /// Binds the control socket. A socket file that was left by a process that is gone is replaced. A port that cannot be
    /// had is tried again later: any local user can take it, so that must not keep a program from its work.
    ///
    /// # Errors
    /// With the path.
    pub async fn bind(metrics: Option<SocketAddr>, control: &Path) -> io::Result<Self> {
        let metrics = match metrics {
            Some(address) => Some((address, TcpListener::bind(address).await)),
            None => None,
        };
        let control = unix(control)
            .map_err(|error| named("control", &control.display().to_string(), &error))?;
        Ok(Self { metrics, control })
    }

    /// The port of the metrics, once it is bound.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let (_, bound) = self.metrics.as_ref()?;
        Some(bound.as_ref().ok()?.local_addr().ok()?.port())
    }

    /// Serves until `stop` is true. Bodies of requests are not read.
    pub fn serve<F, A>(
        self,
        answer: F,
        unserved: &Arc<Unserved>,
        stop: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<()>>
    where
        F: Fn(Asker, Parts) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let mut tasks = Vec::new();
        if let Some((address, bound)) = self.metrics {
            let (answer, stop) = (answer.clone(), stop.clone());
            let port = Port {
                address,
                unserved: Arc::clone(unserved),
            };
            tasks.push(tokio::spawn(metrics(port, bound, answer, stop)));
        }
        let acceptor = Acceptor {
            name: "the control socket",
            shares: SHARES,
            source: |stream: &UnixStream| {
                let uid = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
                Source::user(uid, uid == 0)
            },
            overload: Overload::Wait,
            drain: DRAIN,
            counts: Arc::default(),
        };
        let stopped = stopped(stop.clone());
        tasks.push(tokio::spawn(async move {
            let serve = |stream, stopping, standing| {
                let answer = answer.clone();
                let answer = move |head| answer(Asker::Group, head);
                connection(stream, answer, stopping, standing)
            };
            acceptor.run(self.control, stopped, serve).await;
        }));
        tasks
    }
}

struct Port {
    address: SocketAddr,
    unserved: Arc<Unserved>,
}

impl Port {
    /// Tries until it is bound; None if `stopped` comes first.
    async fn bound(
        &self,
        mut bound: io::Result<TcpListener>,
        mut stopped: impl Future<Output = ()> + Unpin,
    ) -> Option<TcpListener> {
        let address = self.address;
        loop {
            let error = match bound {
                Ok(listener) => {
                    if self.unserved.set(None) {
                        info!("metrics are served at {address}");
                    }
                    return Some(listener);
                }
                Err(error) => error,
            };
            let problem = named("[metrics] listen", &address.to_string(), &error);
            if self.unserved.set(Some(problem.to_string())) {
                warn!("{problem}: no metrics until it is free; everything else goes on");
            }
            tokio::select! {
                () = &mut stopped => return None,
                () = tokio::time::sleep(AGAIN) => {}
            }
            bound = TcpListener::bind(address).await;
        }
    }
}

async fn metrics<F, A>(
    port: Port,
    bound: io::Result<TcpListener>,
    answer: F,
    stop: watch::Receiver<bool>,
) where
    F: Fn(Asker, Parts) -> A + Clone + Send + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let mut stopped = Box::pin(stopped(stop));
    let Some(listener) = port.bound(bound, &mut stopped).await else {
        return;
    };
    let acceptor = Acceptor {
        name: "the metrics",
        shares: SHARES,
        source: |(_, peer): &(TcpStream, SocketAddr)| Source::host(peer.ip()),
        overload: Overload::Wait,
        drain: DRAIN,
        counts: Arc::default(),
    };
    let serve = |(stream, _), stopping, standing| {
        let answer = answer.clone();
        let answer = move |head| answer(Asker::Anybody, head);
        connection(stream, answer, stopping, standing)
    };
    acceptor.run(listener, stopped, serve).await;
}

fn named(key: &str, place: &str, error: &io::Error) -> io::Error {
    let text = format!("cannot listen on {place} ({key}): {error}");
    io::Error::new(error.kind(), text)
}

fn unix(path: &Path) -> io::Result<UnixListener> {
    let left = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if left && std::os::unix::net::UnixStream::connect(path).is_err() {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok(listener)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone: stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection<S, F, A>(stream: S, answer: F, stopping: Watcher, standing: Standing)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Parts) -> A + Send + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let answers = service_fn(move |request: Request<Incoming>| {
        standing.keep(true);
        let answer = answer(request.into_parts().0);
        let standing = standing.clone();
        async move {
            let answer = answer.await;
            standing.keep(false);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(16 * 1024);
    let served = builder.serve_connection(TokioIo::new(stream), answers);
    if let Err(error) = stopping.watch(served).await {
        debug!("connection: {error}");
    }
}

/// Metrics in the format that these headers ask for.
#[must_use]
pub fn metrics_reply(headers: &HeaderMap, families: &[Family]) -> Answer {
    let accept = headers.get_all(header::ACCEPT).iter();
    let accept = accept.filter_map(|value| value.to_str().ok());
    let format = Exposition::accepted(accept, Exposition::Text);
    reply(
        StatusCode::OK,
        format.content_type(),
        format.render(families),
    )
}

/// JSON.
#[must_use]
pub fn json_reply(status: StatusCode, body: &impl serde::Serialize) -> Answer {
    let text = serde_json::to_string(body).unwrap_or_default();
    reply(status, "application/json", text)
}

/// A sentence, as JSON.
#[must_use]
pub fn told(status: StatusCode, message: &str) -> Answer {
    json_reply(status, &serde_json::json!({ "message": message }))
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
