//! The REST API against its contract: in-process through warp, and over a real Unix socket for the wire format.
//!
//! One binary, so that it links once. Every response passes a check of the common invariants.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

mod batch;
mod bodies;
mod clients;
mod confirm;
mod entries;
mod errors;
mod events;
mod guard;
mod lists;
mod log;
mod nodes;
mod noise;
mod notifiers;
mod openapi;
mod owners;
mod peer;
mod peering;
mod reasons;
mod rights;
mod routes;
mod scopes;
mod scrapes;
mod sets;
mod shipped;
mod socket;
mod stats;
mod support;
mod switch;
mod values;
