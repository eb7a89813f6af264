//! Asks the kernel, by netlink, which interfaces there are, what their packets begin with, which XDP program each has and
//! what its driver can do, and hears when one comes, goes or is renamed. No privilege is needed for any of it.

mod driver;
mod layer;
mod link;
mod message;
mod socket;

pub use driver::runs_xdp;
pub use layer::LinkLayer;
pub use link::{Changes, Interface, OnInterface, interface, interfaces};
