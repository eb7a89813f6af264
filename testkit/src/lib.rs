//! Shared by the tests of all crates: a scripted HTTP server, a raw HTTP client, child processes, network namespaces, and
//! waiting. A dev-dependency only: it does not depend on the daemon, so it builds fast and any crate can use it.
//!
//! Guarantees: there are no fixed paths, and a port is free or in a private namespace, so tests run in parallel; servers,
//! processes and directories end with the value that owns them, on a panic, too; every wait is for a condition, with a
//! deadline that a stalled machine does not reach.
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
    reason = "a library for tests: a step that fails ends the test with its location"
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
pub use wait::{LONG, patient, unix_now, until, until_ok};
