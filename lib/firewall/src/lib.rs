//! The engine of Couic: which sources pass, and the XDP program that acts on it.
//!
//! It knows neither HTTP nor tokio nor a configuration file: the daemon hands it values, and so may any other program.
//!
//! Guarantees:
//! - `ignore` beats `drop`, whatever the prefix lengths. A rule filters while one claim on it lives ([`rules`]).
//! - A refused change has changed nothing; an acknowledged one filters, and survives kill -9 ([`journal`]).
//! - A change that is not confirmed in time is undone, after a crash, too ([`confirm`]).
//! - A `drop` that would cut off this host or the caller is refused, if asked ([`guard`]).
//!
//! ```
//! use std::sync::Arc;
//!
//! use couic_common::{Policy, Verdict};
//! use couic_firewall::{
//!     dataplane::{Limits, MemoryPlane},
//!     rules::{Actor, ClaimRequest, Firewall, Origin, SystemClock},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plane = MemoryPlane::default();
//! let counters = Arc::new(plane.clone());
//! let firewall = Firewall::new(Box::new(plane), counters, Limits::default(), Arc::new(SystemClock));
//! let admin = Origin { actor: Actor::Client("admin".parse()?), metadata: None };
//! let mut rule = ClaimRequest { cidr: "192.0.2.0/24".parse()?, tag: None, expiration: 0 };
//! firewall.add(Policy::Drop, &rule, &admin)?;
//! assert_eq!(firewall.lookup("192.0.2.7".parse()?).verdict, Verdict::Drop);
//!
//! rule.cidr = "192.0.0.0/8".parse()?;
//! firewall.add(Policy::Ignore, &rule, &admin)?;
//! assert_eq!(firewall.lookup("192.0.2.7".parse()?).verdict, Verdict::Pass);
//! # Ok(()) }
//! ```

pub mod confirm;
pub mod dataplane;
pub mod guard;
pub mod journal;
pub mod panic_switch;
pub mod rules;
