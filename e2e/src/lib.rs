//! Library of the end-to-end tests: namespaces connected by a veth pair, the real daemon and the real `couicctl`, and
//! frames built byte by byte.
//!
//! Guarantees: everything is undone on drop, also if a test panics or is killed, since the namespaces have no name and
//! end with the last process in them; there are no fixed paths or shared names, so tests run in parallel; nothing is sent
//! outside of those namespaces. Every wait is for a condition, with a deadline. A test that cannot run prints
//! `skipped: why` and returns.
//!
//! ```no_run
//! use couic_e2e::{Frame, Lab};
//!
//! let Some(lab) = Lab::quiet() else { return };
//! let daemon = lab.daemon().start();
//! daemon.api().add("drop", "198.51.100.7/32", None, 0);
//! let mut wire = lab.wire();
//! let frames = [Frame::v4("198.51.100.7"), Frame::v4("198.51.100.8")];
//! assert_eq!(wire.arrivals(&frames), [0, 1]);
//! ```
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a library for tests: a step that fails ends the test with its location"
)]

mod bpffs;
mod daemon;
mod foreign;
mod frame;
mod lab;
mod mesh;
mod monitor;
mod packet_socket;
mod stream;
mod tun;
mod wire;

pub use bpffs::BpfFs;
pub use couic_testkit::{ATTACHER, Api, Netns, StandIn, unix_now, until};
pub use daemon::{CtlOutput, Daemon, DaemonBuilder, Refusal};
pub use foreign::{AttachedBy, FOREIGN_NAME, Foreign, detach_links, tcx_links};
pub use frame::{ETH_P_8021AD, ETH_P_8021Q, ETH_P_QINQ1, Frame, SYNC_FRAME_LEN};
pub use lab::{HOST_IFACE, HOST_V4, HOST_V6, Lab, OUTSIDE_IFACE, OUTSIDE_V4, OUTSIDE_V6};
pub use mesh::{Mesh, PEER_PORT, address, token};
pub use monitor::Monitor;
pub use stream::{Stream, Tally};
pub use tun::{LINK_CAN, LINK_NONE, Tun};
pub use wire::Wire;
