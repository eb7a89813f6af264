//! The engine of Couic: which sources pass, and the XDP program that acts on it.
//!
//! It knows neither HTTP nor tokio nor a configuration file: the daemon hands it values, and so may any other program.

pub mod confirm;
pub mod dataplane;
pub mod guard;
pub mod journal;
pub mod panic_switch;
pub mod rules;
