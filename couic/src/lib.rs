//! The Couic daemon as a library, so that tests, benchmarks and fuzz targets can drive its parts.
//!
//! Guarantees: a configuration with a mistake starts nothing, and every mistake of it is reported with its line; [`daemon`]
//! and [`api`] have the guarantees of the process and of every request. The program does this:
//!
//! ```no_run
//! use couic::{
//!     config::{Config, DEFAULT_PATH, Settings as _},
//!     daemon,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::load(DEFAULT_PATH.as_ref())?;
//! // Until SIGTERM.
//! daemon::run(DEFAULT_PATH.as_ref(), &config, &[])?;
//! # Ok(()) }
//! ```

pub mod api;
pub mod attach;
pub mod check;
pub mod config;
pub mod daemon;
pub mod events;
pub mod exporter;
pub mod host;
pub mod logging;
pub mod metrics;
pub mod needs;
pub mod peering;
pub mod rbac;
pub mod reporting;
