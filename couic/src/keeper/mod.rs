//! The keeper: a small process that alone may attach our programs, so that the process that listens and parses needs
//! no right to.
//!
//! What holds:
//! - The program is where the configuration wants it, also on interfaces that come later, are made anew or renamed. What
//!   somebody detached is put back; what somebody else attached is never replaced.
//! - It does what the configuration says that it was started with; the serving process cannot ask for more
//!   ([`wire`]).
//! - It ends when the serving process does. What it attached stays, where it can be kept ([`keep`]), and the next start
//!   puts its own program in the place of the old one: no frame passes in between ([`wall`]).
//! - There is one keeper for a working directory at a time.

mod bpffs;
mod child;
mod detach;
mod handle;
pub(crate) mod keep;
mod keeping;
mod kernel;
mod pattern;
mod porter;
mod wall;
mod ways;
mod wire;

pub use child::run_if_child;
pub use detach::{DetachError, Detached, detach};
pub(crate) use handle::LOST;
pub use handle::{Keeper, KeeperError, Setup, Store};

use couic_netlink::Interface;
