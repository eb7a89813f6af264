//! The owner of the rules. Synchronous; knows neither HTTP nor an async runtime.

mod types;

pub use types::{Actor, Applied, EventKind, FirewallError, Job, NewRule, Origin, RuleEvent};
