//! The REST API against its contract: in-process through warp, and over a real Unix socket where the bytes matter.
//!
//! One binary, so that it links once. Every answer goes through the same check of what holds for all answers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod batch;
mod clients;
mod confirm;
mod entries;
mod errors;
mod guard;
mod lists;
mod nodes;
mod noise;
mod notifiers;
mod openapi;
mod peer;
mod peering;
mod rights;
mod sets;
mod socket;
mod stats;
mod support;
mod switch;
