//! Network interfaces by netlink: their link layer, XDP program and driver capabilities, and notifications when one is
//! added, removed or renamed; the addresses of this host and its gateways. Requires no privilege.
//!
//! Guarantees: a malformed message of the kernel is an error, never a panic; a list that changes while it is read is read
//! again.
//!
//! ```
//! use couic_netlink::{interfaces, runs_xdp};
//!
//! for interface in interfaces()? {
//!     let native = runs_xdp(interface.index).unwrap_or(false);
//!     println!("{}: {:?}, native XDP: {native}", interface.name, interface.xdp);
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

mod addresses;
mod driver;
mod layer;
mod link;
mod message;
mod routes;
mod socket;

pub use addresses::own_addresses;
pub use driver::runs_xdp;
pub use layer::LinkLayer;
pub use link::{Changes, Interface, OnInterface, interface, interfaces};
pub use routes::default_gateways;
