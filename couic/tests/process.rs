//! The daemon as a process: what it refuses, with which words and exit code, and how it ends.
//!
//! What needs the kernel's help (root, XDP) runs in a network namespace of its own and says "skipped" where it cannot.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which end at the first thing that goes wrong"
)]

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
