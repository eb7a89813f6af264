//! Decisions of CrowdSec's local API (LAPI), brought into the rules of the daemon.
//!
//! [`Consumer`] asks the LAPI every few seconds for what is new, and now and then for everything, and makes claims of the
//! daemon from its bans: under the tag `cs-ORIGIN`, until the decision ends.
//!
//! Guarantees:
//! - A LAPI that is away, overloaded or answers nonsense changes nothing: bans run to their end. Nothing is ever flushed.
//! - An answer counts as a whole or not at all. After one that failed, and at the start, everything is asked for, since the
//!   LAPI tells what is new only once. So neither a lost answer nor a kill loses a ban or leaves one behind.
//! - A full answer that suddenly lacks more than half of what is banned, without telling that it was deleted, releases
//!   nothing until another one says the same; an empty one never does.
//! - What the daemon ignores is not banned, at the start neither: nothing is before its ignore list is known, or refused.
//! - Each origin has its own claim: the deletion of one does not undo the ban of another.
//! - What the daemon refuses (guard rails, the limits of the token) is counted by reason, told once, and not sent again
//!   unless the decision is prolonged.
//! - Memory is bounded by the number of decisions, whatever the LAPI sends.
//!
//! ```no_run
//! use std::sync::Arc;
//! use couic_crowdsec::{Config, Consumer};
//! use couic_inject::{Injector, Limits};
//!
//! # async fn start(stop: tokio::sync::watch::Receiver<bool>) -> Result<(), Box<dyn std::error::Error>> {
//! let daemon = couic_inject::Config::unix("/run/couic/couic.sock", "/etc/couic-bouncer/token");
//! let injector = Arc::new(Injector::start(daemon, Limits::default())?);
//! let config = Config {
//!     key_file: Some("/etc/couic-bouncer/crowdsec.key".into()),
//!     ..Config::default()
//! };
//! let consumer = Arc::new(Consumer::new(config, injector)?);
//! Arc::clone(&consumer).run(stop).await;
//! println!("{} bans sent", consumer.status().added);
//! # Ok(()) }
//! ```

mod answer;
mod claims;
mod config;
mod consumer;
mod cover;
mod credentials;
mod decision;
mod duration;
mod known;
mod lapi;
mod model;
mod names;
mod splitter;
mod status;
#[cfg(test)]
mod tests;
mod worker;

pub use config::{Config, Scope};
pub use consumer::Consumer;
pub use status::Status;

/// A consumer cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrowdSecError {
    /// Keys of the configuration that cannot be meant, with what is wrong.
    #[error("the configuration of crowdsec has mistakes: {}", list(.0))]
    Config(Vec<(&'static str, String)>),
    /// A file cannot be used, or TLS not be set up. The text has no secrets.
    #[error("the connection to CrowdSec cannot be set up: {0}")]
    Setup(String),
}

fn list(mistakes: &[(&'static str, String)]) -> String {
    let lines: Vec<String> = mistakes
        .iter()
        .map(|(key, message)| format!("`{key}` {message}"))
        .collect();
    lines.join("; ")
}
