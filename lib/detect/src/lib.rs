//! Detection of offenders in log lines.
//!
//! No I/O, no threads, no clock: callers pass bytes and times.

mod event;

pub use event::{Event, Login};
