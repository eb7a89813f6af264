//! The daemon as a process: refused starts with message and exit code, signals, shutdown.
//!
//! Tests that need root and XDP run in a network namespace of their own, or print "skipped".

#![expect(clippy::unwrap_used, reason = "test helpers: a panic fails the test")]

#[path = "process/attacher.rs"]
mod attacher;
#[path = "process/documents.rs"]
mod documents;
#[path = "process/harness.rs"]
mod harness;
#[path = "process/lifecycle.rs"]
mod lifecycle;
#[path = "process/refusals.rs"]
mod refusals;
#[path = "process/reporting.rs"]
mod reporting;
