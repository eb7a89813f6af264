//! The attacher: a small process that attaches our programs, so that the serving process, which parses untrusted input,
//! needs no capability for it.
//!
//! What holds:
//! - The program is attached to the interfaces in `ifaces`, also to those that appear later, are created again or
//!   renamed. A program of ours that was detached from outside is attached again; a foreign program is never replaced.
//! - The attacher acts on the configuration that it was started with; the serving process cannot ask for more
//!   ([`wire`]).
//! - It exits when the serving process does. Its links stay attached if they are stored ([`pins`]), and the next start
//!   replaces the program behind them: no frame passes in between ([`attachments`]).
//! - A working directory has one attacher at a time.
//! - An attacher that does not answer is reported in health within seconds ([`attacher`]).

mod attacher;
mod attachments;
mod bpffs;
mod detach;
mod kernel;
mod lock;
mod modes;
mod orphan;
mod pattern;
mod persistence;
pub(crate) mod pins;
mod process;
mod wire;

pub use attacher::{Attacher, AttacherError, CurrentInterface, LinkStore, Setup};
pub use detach::{DetachError, Detached, detach};
pub use lock::{AttacherLock, LOCK_FILES, LockError, WorkLock};
pub use process::ROLE;

use couic_netlink::Interface;
