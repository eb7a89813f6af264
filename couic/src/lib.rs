//! The Couic daemon as a library, so that tests, benchmarks and fuzz targets can drive its parts.

pub mod api;
pub mod config;
pub mod confirm;
pub mod daemon;
pub mod dataplane;
pub mod firewall;
pub mod guard;
pub mod host;
pub mod journal;
pub mod keeper;
pub mod logging;
pub mod metrics;
pub mod peering;
pub mod privileges;
pub mod rbac;
pub mod reporting;
pub mod switch;
