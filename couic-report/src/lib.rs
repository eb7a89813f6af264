//! couic-report: collects the reports of Couic firewalls and sends one summary per interval.
//!
//! Requests are journaled before they are answered ([`service`]); an interval's figures become one summary, which the
//! notifiers deliver. A library only so that the program's parts can be tested.
//!
//! ```no_run
//! use couic_report::{
//!     config::{Config, DEFAULT_PATH, Settings as _},
//!     service,
//! };
//!
//! # async fn sample() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::load(DEFAULT_PATH.as_ref())?;
//! let shutdown = async { drop(tokio::signal::ctrl_c().await) };
//! service::run(&config, &service::state_dir(), shutdown).await?;
//! # Ok(()) }
//! ```

mod codec;
pub mod config;
mod figures;
pub mod history;
mod http;
mod ingest;
mod intervals;
pub mod notify;
pub mod page;
pub mod service;
mod state;

pub use state::StateError;
