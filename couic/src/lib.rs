//! The Couic daemon as a library, so that tests, benchmarks and fuzz targets can drive its parts.

pub mod api;
pub mod attach;
pub mod config;
pub mod daemon;
pub mod host;
pub mod logging;
pub mod metrics;
pub mod peering;
pub mod rbac;
pub mod reporting;
