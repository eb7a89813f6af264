//! The common base of Couic's HTTP services: the daemon's API on a Unix socket, its metrics on TCP, couic-report, and what
//! couicmon and couic-bouncer tell.
//!
//! Routes, requests and answers are the service's. Guarantees of this crate:
//! - Connections are bounded in number, in all and of each source, and new ones take the places of idle ones whose clients
//!   have not proven who they are; a failed accept does not end the service ([`Acceptor`], [`Shares`]).
//! - On shutdown no connection is accepted, requests in progress are finished, and those beyond the deadline aborted.
//! - Request bodies are bounded each, of each client, and in total, and a client that stalls or trickles is timed out
//!   ([`BodyReader`]).
//! - Metrics are valid text, whatever their labels contain ([`Family`]), in the format that a client asks for
//!   ([`Exposition`]).
//! - Programs beside the daemon serve metrics and health on the loopback, and the rest on a control socket for their own
//!   user and group ([`SideListeners`]), which their commands ask ([`Ask`]).
//!
//! ```
//! use std::time::Duration;
//!
//! use couic_httpd::{Acceptor, Overload, Shares, Source};
//! use tokio::{io::AsyncWriteExt, net::UnixListener};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let dir = std::env::temp_dir().join(format!("couic-httpd-{}", std::process::id()));
//! # std::fs::create_dir_all(&dir)?;
//! # let path = dir.join("socket");
//! let listener = UnixListener::bind(&path)?;
//! let acceptor = Acceptor {
//!     name: "the service",
//!     shares: Shares { total: 16, per_source: 4, reserve: 2 },
//!     source: |stream: &tokio::net::UnixStream| {
//!         let uid = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
//!         Source::user(uid, uid == 0)
//!     },
//!     overload: Overload::Wait,
//!     drain: Duration::from_secs(5),
//!     counts: Default::default(),
//! };
//! let shutdown = async { /* SIGTERM */ };
//! let summary = acceptor.run(listener, shutdown, |mut stream, _stopping, _standing| async move {
//!     // A real service: stopping.watch(http1::Builder::new().serve_connection(…)).
//!     drop(stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await);
//! });
//! assert_eq!(summary.await.aborted, 0);
//! # std::fs::remove_dir_all(dir)
//! # }).unwrap();
//! ```

mod accept;
mod ask;
mod body;
mod budget;
mod connections;
mod exposition;
mod metrics;
mod places;
mod side;

pub use hyper_util::server::graceful::Watcher;

pub use self::{
    accept::{Acceptor, Listener, Overload, ServeSummary},
    ask::{Ask, AskError},
    body::{BodyError, BodyLimits, BodyReader, Chunks, Pace, next_chunk},
    budget::{BodyOwner, Room},
    connections::ConnectionCounts,
    exposition::Exposition,
    metrics::{Family, Kind, float, open_metrics, prometheus},
    places::{Known, Shares, Source, Standing},
    side::{Answer, Asker, SideListeners, Unserved, json_reply, metrics_reply, told},
};
