//! Sends rules to the daemon: for couicmon, a bouncer, and whatever else finds sources to drop.
//!
//! [`Injector::ban`] and [`Injector::remove`] take a rule and return at once. A thread of its own gathers them for some
//! 50 ms and sends them as one batch to policy `drop`, one batch at a time.
//!
//! Guarantees:
//! - What was taken is sent until the daemon has answered for it, in the order it was taken, however often the daemon is
//!   away, restarted or overloaded, or the token is rotated. Sending again what was applied already changes nothing.
//! - A rule is held back, never lost silently: what is not sent is counted, either as refused by the daemon, expired while
//!   it was held, or dropped at the bound. A removal outlives the rule behind it, if that is refused or expires.
//! - Of two bans of one network and tag that wait, the one that ends later counts. What the daemon has already is renewed
//!   by the next ban, also to an earlier end: a caller that must not shorten its own bans remembers them.
//! - Memory is bounded in rules and in bytes. At the bound, the rule goes that ends soonest.
//! - Times go out as seconds from now, so that the daemon's clock may differ.
//! - A lasting failure is logged when it begins and when it ends, not in between.
//!
//! ```no_run
//! use std::time::Duration;
//! use couic_inject::{Config, Injector, Limits, Rule};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::unix("/run/couic/couic.sock", "/etc/couicmon/token");
//! let injector = Injector::start(config, Limits::default())?;
//! injector.ban(Rule {
//!     cidr: "198.51.100.7/32".parse()?,
//!     tag: "mon-sshd".to_owned(),
//!     until: couic_client::common::unix_seconds() + 600,
//!     kind: "couicmon".to_owned(),
//!     detail: "sshd: 5 failed logins".to_owned(),
//!     extra: serde_json::Map::new(),
//! });
//! let rest = injector.stop(Duration::from_secs(5));
//! rest.save("/var/lib/couicmon/pending".as_ref())?;
//! # Ok(()) }
//! ```

mod batch;
mod claims;
mod daemon;
mod figures;
mod flight;
mod held;
mod ignored;
mod injector;
mod pending;
mod refusals;
mod rule;
mod sender;
mod state;
#[cfg(test)]
mod tests;
mod told;
mod verdict;

pub use claims::Claim;
pub use daemon::{Config, InjectError};
pub use figures::Figures;
pub use ignored::{Ignored, MOST_IGNORED};
pub use injector::Injector;
pub use pending::{Loaded, Pending};
pub use refusals::{MOST_REFUSALS, Refusal};
pub use rule::{Limits, Rule};
pub use told::{Told, in_a_line};
