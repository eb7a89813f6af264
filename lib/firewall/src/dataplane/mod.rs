//! The data plane, which decides about packets, behind a facade.
//!
//! The firewall core writes rules through [`Plane`] and reads figures through [`Counters`]; it does not know the
//! implementation. [`load`] gives the real one: tables in memory that the XDP program reads, written with plain stores.
//! [`MemoryPlane`] is the plain model for tests and for running without privileges.
//!
//! docs/data-plane.md has the layout and its guarantees. This is the only room that knows aya.

mod attach;
mod busy4;
mod cells6;
mod counters;
mod features;
mod filter6;
mod hosts4;
mod inspect;
pub mod link;
mod maps;
mod memory;
mod plane;
mod prefilter4;
mod probe;
mod program;
mod refusal;
mod region;
mod rule_counts;
mod sizes;
mod store;
mod table4;
mod table6;
mod tables;
#[cfg(test)]
mod tests;
mod tops;
mod v4;
mod v6;
mod walk;

pub use attach::program_names;
pub use attach::{AttachError, ModeError, OperationMode};
pub use counters::MappedCounters;
pub use features::{counts_locked_memory, too_old};
pub use link::{Hook, LinkInfo};
pub use memory::MemoryPlane;
pub use plane::{
    Counters, Limits, MAX_TAGS, Plane, PlaneError, PlaneRule, RuleUsage, TagSlot, Valve,
};
pub use program::ENTRIES;
pub use program::{LoadError, Loaded, Role, XdpProgram, load, load_tables, open};
pub use refusal::Refusal;
pub use sizes::TooManyRules;
#[cfg(test)]
pub(crate) use tables::Corruption;
pub use tables::TablePlane;
pub use walk::{Walk, walk};
