//! couic-report: collects the reports of Couic firewalls and sends one summary per interval.
//!
//! Requests are journaled before they are answered ([`service`]); an interval's figures become one summary, which the
//! notifiers deliver. A library only so that the program's parts can be tested.

mod codec;
pub mod config;
mod figures;
mod http;
mod ingest;
mod intervals;
pub mod notify;
pub mod service;
mod state;

pub use state::StateError;
