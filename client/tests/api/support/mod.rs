//! A stand-in for the daemon: responds as the test defines, and records every request. Shared with the tests of
//! couicctl.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
};

use tempfile::TempDir;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::oneshot,
};
use warp::{Filter, http::Response};

/// The token that tests use.
pub(crate) const TOKEN: &str = "bbfa1388-3218-463c-9722-6805507c14bb";

/// A recorded request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) accept: Option<String>,
    pub(crate) confirm_within: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// `METHOD /path` or `METHOD /path?query`.
    pub(crate) fn line(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{} {}{mark}{}", self.method, self.path, self.query)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A response.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            kind: "application/json",
            body: body.into().into_bytes(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn text(status: u16, kind: &'static str, body: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            body: body.into().into_bytes(),
            headers: Vec::new(),
        }
    }
}

impl Answer {
    /// Adds a header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The stand-in. Stops when dropped.
pub(crate) struct StandIn {
    pub(crate) socket: PathBuf,
    pub(crate) address: Option<SocketAddr>,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    pub(crate) dir: TempDir,
}

impl StandIn {
    /// Listens on a Unix socket in a new directory.
    pub(crate) fn unix(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(false, handler)
    }

    /// Listens on a TCP port of loopback.
    pub(crate) fn tcp(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(true, handler)
    }

    /// Always sends the same response.
    pub(crate) fn always(status: u16, body: &'static str) -> Self {
        Self::unix(move |_| Answer::json(status, body))
    }

    fn start(tcp: bool, handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join("couic.sock");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let (path, log) = (socket.clone(), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let stopped = async { drop(stopped.await) };
                let server = warp::serve(routes(log, Arc::new(handler)));
                if tcp {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    ready.send(listener.local_addr().ok()).unwrap();
                    tokio::select! { () = server.incoming(listener).run() => {}, () = stopped => {} }
                } else {
                    let listener = UnixListener::bind(path).unwrap();
                    ready.send(None).unwrap();
                    tokio::select! { () = server.incoming(listener).run() => {}, () = stopped => {} }
                }
            });
        });
        Self {
            socket,
            address: is_ready.recv().unwrap(),
            seen,
            stop: Some(stop),
            thread: Some(thread),
            dir,
        }
    }

    /// Every request so far, oldest first.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // If the thread has ended already, join reports it.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

fn routes<H: Fn(&Seen) -> Answer + Send + Sync + 'static>(
    log: Arc<Mutex<Vec<Seen>>>,
    handler: Arc<H>,
) -> impl Filter<Extract = (Response<Vec<u8>>,), Error = warp::Rejection> + Clone {
    let query = warp::query::raw().or_else(|_| async { Ok::<_, Infallible>((String::new(),)) });
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::bytes())
        .map(
            move |method: warp::http::Method, path: warp::path::FullPath, query, headers, body| {
                let seen = seen(method.as_str(), path.as_str(), query, &headers, &body);
                log.lock().unwrap().push(seen.clone());
                let answer = handler(&seen);
                let response = Response::builder()
                    .status(answer.status)
                    .header("content-type", answer.kind);
                let headers = answer.headers.into_iter();
                headers
                    .fold(response, |response, (name, value)| {
                        response.header(name, value)
                    })
                    .body(answer.body)
                    .unwrap()
            },
        )
}

fn seen(
    method: &str,
    path: &str,
    query: String,
    headers: &warp::http::HeaderMap,
    body: &bytes::Bytes,
) -> Seen {
    let header = |name: &str| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    Seen {
        method: method.to_owned(),
        path: path.to_owned(),
        query,
        authorization: header("authorization"),
        content_type: header("content-type"),
        accept: header("accept"),
        confirm_within: header("couic-confirm-within"),
        body: body.to_vec(),
    }
}
