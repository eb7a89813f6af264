//! What couicmon tells: `/metrics` and `/health` on a port of the loopback, and for `couicmon top` more of it on a Unix
//! socket that only its own user and group may open.
//!
//! Lines of logs are not for everybody on the machine: samples and talkers are on the socket only.

use std::{
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use couic_httpd::{Acceptor, Exposition, Overload, Shares, Source, Standing, Watcher};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
};
use tracing::{debug, info, warn};

use super::{figures, health, service::Service};

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

/// The most talkers in an answer.
const MOST: usize = 1_000;

/// Owner and group.
const MODE: u32 = 0o660;

/// How often a port is tried that could not be had.
const AGAIN: Duration = Duration::from_secs(2);

/// The control socket, bound, and where metrics are to be served.
pub(crate) struct Listeners {
    pub(crate) metrics: Option<(SocketAddr, io::Result<TcpListener>)>,
    control: UnixListener,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// Anybody on this machine.
    Anybody,
    /// Who may open the socket.
    Group,
}

impl Listeners {
    /// Binds the control socket. A socket file that was left by a process that is gone is replaced.
    ///
    /// # Errors
    /// With the path.
    pub(crate) async fn bind(metrics: Option<SocketAddr>, control: &Path) -> io::Result<Self> {
        let metrics = match metrics {
            Some(address) => Some((address, TcpListener::bind(address).await)),
            None => None,
        };
        let control = unix(control)
            .map_err(|error| named("control", &control.display().to_string(), &error))?;
        Ok(Self { metrics, control })
    }

    /// Serves until `stop` is true.
    pub(crate) fn serve(
        self,
        service: &Arc<Service>,
        stop: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        if let Some((address, bound)) = self.metrics {
            let (service, stop) = (Arc::clone(service), stop.clone());
            tasks.push(tokio::spawn(metrics(address, bound, service, stop)));
        }
        let acceptor = Acceptor {
            name: "the control socket of couicmon",
            shares: SHARES,
            source: |stream: &UnixStream| {
                let uid = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
                Source::user(uid, uid == 0)
            },
            overload: Overload::Wait,
            drain: DRAIN,
            counts: Arc::default(),
        };
        let (service, stopped) = (Arc::clone(service), stopped(stop.clone()));
        tasks.push(tokio::spawn(async move {
            let serve = |stream, stopping, standing| {
                connection(
                    stream,
                    Arc::clone(&service),
                    Asker::Group,
                    stopping,
                    standing,
                )
            };
            acceptor.run(self.control, stopped, serve).await;
        }));
        tasks
    }
}

/// Any local user can take the port, so that must not keep couicmon from its work.
async fn metrics(
    address: SocketAddr,
    mut bound: io::Result<TcpListener>,
    service: Arc<Service>,
    stop: watch::Receiver<bool>,
) {
    let mut stopped = Box::pin(stopped(stop));
    let listener = loop {
        let error = match bound {
            Ok(listener) => break listener,
            Err(error) => error,
        };
        let problem = named("[metrics] listen", &address.to_string(), &error);
        if service.metrics_problem(Some(problem.to_string())) {
            warn!("{problem}: no metrics until it is free; everything else goes on");
        }
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
        bound = TcpListener::bind(address).await;
    };
    if service.metrics_problem(None) {
        info!("metrics are served at {address}");
    }
    let acceptor = Acceptor {
        name: "the metrics of couicmon",
        shares: SHARES,
        source: |(_, peer): &(TcpStream, SocketAddr)| Source::host(peer.ip()),
        overload: Overload::Wait,
        drain: DRAIN,
        counts: Arc::default(),
    };
    let serve = |(stream, _), stopping, standing| {
        let service = Arc::clone(&service);
        connection(stream, service, Asker::Anybody, stopping, standing)
    };
    acceptor.run(listener, stopped, serve).await;
}

fn named(key: &str, place: &str, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot listen on {place} ({key}): {error}"),
    )
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

async fn connection<S>(
    stream: S,
    service: Arc<Service>,
    asker: Asker,
    stopping: Watcher,
    standing: Standing,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answers = service_fn(move |request: Request<Incoming>| {
        standing.keep(true);
        let answer = answer(
            &service,
            asker,
            request.method(),
            request.uri().path(),
            request.uri().query(),
            request.headers(),
        );
        standing.keep(false);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(16 * 1024);
    if let Err(error) = stopping
        .watch(builder.serve_connection(TokioIo::new(stream), answers))
        .await
    {
        debug!("connection: {error}");
    }
}

fn answer(
    service: &Service,
    asker: Asker,
    method: &Method,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return told(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here");
    }
    match (path, asker) {
        ("/metrics" | "/v1/metrics", _) => {
            let accept = headers.get_all(header::ACCEPT).iter();
            let accept = accept.filter_map(|value| value.to_str().ok());
            let format = Exposition::accepted(accept, Exposition::Text);
            reply(
                StatusCode::OK,
                format.content_type(),
                format.render(&figures::families(service)),
            )
        }
        ("/health" | "/v1/health", asker) => {
            let health = health::of(service, asker == Asker::Group);
            let code = if health.is_failed() {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::OK
            };
            json_reply(code, &health)
        }
        ("/v1/top", Asker::Group) => {
            let count = query.and_then(|query| query.strip_prefix("n=")?.parse().ok());
            json_reply(
                StatusCode::OK,
                &figures::top(service, count.unwrap_or(50).min(MOST)),
            )
        }
        ("/v1/top", Asker::Anybody) => told(
            StatusCode::FORBIDDEN,
            "talkers are told on the control socket only",
        ),
        _ => told(StatusCode::NOT_FOUND, "there is nothing on this path"),
    }
}

fn told(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    json_reply(status, &json!({ "message": message }))
}

fn json_reply(status: StatusCode, body: &impl serde::Serialize) -> Response<Full<Bytes>> {
    reply(
        status,
        "application/json",
        serde_json::to_string(body).unwrap_or_default(),
    )
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
