//! Detection of offenders in log lines.
//!
//! No I/O, no threads, no clock: callers pass bytes and times.

mod client;
mod event;
mod format;

pub use client::{Client, Nets, Trusted};
pub use event::{Event, Login};
pub use format::{Container, FORMATS, Field, Format, FormatError, Unparsed};
