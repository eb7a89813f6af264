//! The data plane: what decides about packets, behind a facade.
//!
//! The firewall core writes rules through [`Plane`] and reads figures through [`Counters`]; it does not know what
//! stands behind them. [`MemoryPlane`] is the plain model for tests and for running without privileges.

mod memory;
mod plane;

pub use memory::MemoryPlane;
pub use plane::{Counters, Limits, MAX_TAGS, Plane, PlaneError, PlaneRule, TagSlot};
