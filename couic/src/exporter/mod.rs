//! Metrics over TCP, for Prometheus: `[metrics] listen`. Off unless it is configured.
//!
//! What holds:
//! - Only `GET /metrics` is served, with the figures of `GET /v1/metrics`: nothing can be changed through this listener.
//! - On a loopback address no token is asked for. On any other one, each request needs the token of a client of group
//!   `monitoring`: any other token is refused, so that none with more rights is sent over the network in clear.
//! - It never keeps the daemon from filtering: an address that cannot be listened on is a problem in health, and is
//!   tried again until it can.
//! - Connections are bounded in number, one carries one request, and each ends after 30 s.

mod serve;

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use couic_httpd::ServeSummary;
use parking_lot::Mutex;

use crate::api::Api;

/// Between two attempts to listen.
const RETRY: Duration = Duration::from_secs(2);

/// The listener, from the start of the daemon on.
#[derive(Debug)]
pub struct Exporter {
    address: SocketAddr,
    bound: Option<TcpListener>,
    problem: ListenProblem,
}

/// Why there is no listener, for health.
#[derive(Clone, Debug, Default)]
pub struct ListenProblem(Arc<Mutex<Option<String>>>);

impl ListenProblem {
    /// None while metrics are served.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        self.0.lock().clone()
    }
}

impl Exporter {
    /// Listens on the address, with the privileges of the caller: ports below 1024 need them. A failure is logged, and
    /// is a problem in health until [`Exporter::run`] succeeds.
    #[must_use]
    pub fn bind(address: SocketAddr) -> Self {
        let problem = ListenProblem::default();
        let bound = match listen(address) {
            Ok(listener) => Some(listener),
            Err(error) => {
                let text = failure(address, &error);
                tracing::error!("{text}");
                *problem.0.lock() = Some(text);
                None
            }
        };
        Self {
            address,
            bound,
            problem,
        }
    }

    /// The address, with the port that the system chose where it was 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let bound = self.bound.as_ref();
        let bound = bound.and_then(|listener| listener.local_addr().ok());
        bound.unwrap_or(self.address)
    }

    /// The problem as it is at any time.
    #[must_use]
    pub fn problem(&self) -> ListenProblem {
        self.problem.clone()
    }

    /// Serves until `shutdown`. Needs no privileges, unless the port does.
    pub async fn run(
        mut self,
        api: Arc<Api>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> ServeSummary {
        let mut shutdown = pin!(shutdown);
        let listener = match self.bound.take() {
            Some(listener) => listener,
            None => tokio::select! {
                () = &mut shutdown => return ServeSummary::default(),
                listener = self.retry() => listener,
            },
        };
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                let text = failure(self.address, &error);
                tracing::error!("{text}");
                *self.problem.0.lock() = Some(text);
                return ServeSummary::default();
            }
        };
        let needs_token = !self.address.ip().to_canonical().is_loopback();
        announce(self.address, needs_token);
        serve::serve(listener, api, needs_token, shutdown).await
    }

    async fn retry(&self) -> TcpListener {
        loop {
            tokio::time::sleep(RETRY).await;
            match listen(self.address) {
                Ok(listener) => {
                    *self.problem.0.lock() = None;
                    return listener;
                }
                Err(error) => *self.problem.0.lock() = Some(failure(self.address, &error)),
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn failure(address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "see ss -ltnp 'sport = :{port}' for the program that has it, or choose another port in [metrics] listen"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface has this address: see ip addr, or choose another one in [metrics] listen"
                .to_owned()
        }
        _ => "choose another address in [metrics] listen".to_owned(),
    };
    format!(
        "no metrics on {address}: {error}; filtering and the API are not affected, and the daemon tries again every {} s; {advice}",
        RETRY.as_secs()
    )
}

fn announce(address: SocketAddr, needs_token: bool) {
    tracing::info!("metrics on http://{address}/metrics");
    if needs_token {
        tracing::warn!(
            "metrics on {address}: not encrypted, scrapers send the token of a client of group monitoring in clear; for TLS, listen on 127.0.0.1 behind a reverse proxy"
        );
    }
}
