//! Async client of Couic's REST API, version 1, over the daemon's Unix socket or TCP with TLS.
//!
//! One method per route, typed results, and an error type that separates the cases callers handle: no response, an
//! error response of the daemon, or a response of something else. No `Debug` output or error contains a token.
//! Redirects are not followed and proxies of the environment are not used, so that a token is sent to the endpoint
//! only. Requires a Tokio runtime.
//!
//! # Examples
//! The banned sources of this host:
//! ```no_run
//! use couic_client::{Client, ClientError, ListQuery, Token, common::Policy};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let token: Token = "00000000-0000-0000-0000-000000000000".parse()?;
//! let client = Client::unix("/var/run/couic/couic.sock", token)?;
//! match client.entries(Policy::Drop, &ListQuery::default()).await {
//!     Ok(entries) => entries.iter().for_each(|e| println!("{}", e.cidr)),
//!     Err(ClientError::Refused { status: 401, .. }) => eprintln!("the token has no right to this"),
//!     Err(error) => eprintln!("{error}"),
//! }
//! # Ok(()) }
//! ```

mod builder;
mod endpoint;
mod error;
mod ndjson;
mod notices;
mod progress;
mod routes;
mod sse;
pub mod tls;
mod token;
mod transport;

/// The wire format: entries, sets, statistics, error bodies.
pub use couic_common as common;

pub use builder::Builder;
pub use endpoint::Endpoint;
pub use error::{ClientError, SetupError};
pub use notices::ToConfirm;
pub use routes::{
    EntryStream, Event, EventStream, EventsQuery, ListQuery, LogPage, LogQuery, Release,
};
pub use token::{Token, TokenError};
pub use transport::Client;
