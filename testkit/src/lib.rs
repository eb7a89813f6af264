//! What the tests of all crates share: one HTTP server that answers what a test wants, one HTTP client that shows the
//! bytes, one way to run a program, network namespaces, and waiting. A dev-dependency only: it knows nothing of the
//! daemon, so it builds fast and any crate can use it.
//!
//! Guarantees: nothing has a fixed path, and a port is free or lies in a namespace of its own, so tests run side by
//! side; servers, processes and directories end with the value that owns them, on a panic too; waiting means awaiting
//! a condition, and every deadline is one that a stalled machine does not reach.
//!
//! ```
//! use couic_testkit::{Api, At, Reply, StandIn};
//!
//! let server = StandIn::tcp(|request| match request.line() {
//!     "GET /v1/health" => Reply::json(200, r#"{"status":"ok"}"#),
//!     _ => Reply::status(404),
//! });
//! let api = Api::new(At::Tcp(server.address.unwrap()), None);
//! assert_eq!(api.get("/v1/health")["status"], "ok");
//! assert_eq!(server.only().header("authorization"), None);
//! ```
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a library for tests: a step that fails ends the test and names its place"
)]

mod api;
mod collector;
mod connection;
mod message;
mod netns;
mod program;
mod stand_in;
mod stream;
mod wait;

pub use api::{Api, At, request};
pub use collector::Collector;
pub use connection::{Answer, Connection};
pub use netns::Netns;
pub use program::{ATTACHER, Program, admin_token, attacher, copy_program};
pub use stand_in::{Reply, Request, StandIn, script};
pub use stream::Stream;
pub use wait::{LONG, patient, unix_now, until};
