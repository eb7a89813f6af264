//! Network interfaces by netlink: their link layer, XDP program and driver capabilities, and notifications when one is
//! added, removed or renamed. Requires no privilege.

mod driver;
mod layer;
mod link;
mod message;
mod socket;

pub use driver::runs_xdp;
pub use layer::LinkLayer;
pub use link::{Changes, Interface, OnInterface, interface, interfaces};
