//! The common base of Couic's HTTP services: the daemon's API on a Unix socket, and couic-report on TCP.
//!
//! Routes, requests and answers are the service's. Guarantees of this crate:
//! - Connections are bounded in number; a failed accept does not end the service ([`Acceptor`]).
//! - On shutdown no connection is accepted, requests in progress are finished, and those beyond the deadline aborted.
//! - Request bodies are bounded each and in total, and a client that stalls is timed out ([`BodyReader`]).
//! - Metrics are valid text, whatever their labels contain ([`Family`]).
//!
//! ```
//! use std::time::Duration;
//!
//! use couic_httpd::{Acceptor, Overload};
//! use tokio::{io::AsyncWriteExt, net::UnixListener};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let dir = std::env::temp_dir().join(format!("couic-httpd-{}", std::process::id()));
//! # std::fs::create_dir_all(&dir)?;
//! # let path = dir.join("socket");
//! let listener = UnixListener::bind(&path)?;
//! let acceptor = Acceptor {
//!     name: "the service",
//!     max_connections: 16,
//!     overload: Overload::Wait,
//!     drain: Duration::from_secs(5),
//! };
//! let shutdown = async { /* SIGTERM */ };
//! let summary = acceptor.run(listener, shutdown, |mut stream, _stopping| async move {
//!     // A real service: stopping.watch(http1::Builder::new().serve_connection(…)).
//!     drop(stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await);
//! });
//! assert_eq!(summary.await.aborted, 0);
//! # std::fs::remove_dir_all(dir)
//! # }).unwrap();
//! ```

mod accept;
mod body;
mod metrics;

pub use hyper_util::server::graceful::Watcher;

pub use self::{
    accept::{Acceptor, Listener, Overload, ServeSummary},
    body::{BodyError, BodyLimits, BodyReader, Chunks, next_chunk},
    metrics::{Family, Kind, float, open_metrics, prometheus},
};
