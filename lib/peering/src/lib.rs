//! Replication of rules between nodes. No I/O, no clock, no threads: time and messages are arguments, so that the
//! simulation runs the same code as the daemon.
//!
//! Guarantees:
//! - There is one register per policy and CIDR. It holds the last write, by hybrid logical clock and node; nodes that
//!   have seen the same writes, in any order, hold the same registers.
//! - A deletion is a write. It stays as a tombstone for the configured lifetime, so that no older write comes back.
//! - The cost of an exchange depends on the differences: digests of ranges find the registers to send.
//! - The queue of a peer is bounded. Changes that do not fit are not lost: the next comparison of digests finds them.
//! - Clocks may differ by up to an hour. The logical clock determines the order; expirations are translated between
//!   the clocks of the two nodes of an exchange.
//!
//! [`Replica`] is the state; [`Link`] is one node's view of one peer, which decides the next request and processes the
//! response.

mod ask;
mod backoff;
mod check;
mod clock;
mod digest;
mod gap;
mod limits;
mod link;
mod outbox;
mod plain;
mod record;
mod replica;
mod wire;

pub use ask::{Ask, Failure, LinkSettings, LinkState, LinkStatus, Next};
pub use clock::{Hlc, MAX_AHEAD, Moment, NodeId, Stamp, TooFarAhead};
pub use digest::{LEAVES, Tree};
pub use gap::Gap;
pub use limits::{Limits, Refusal, Tokens};
pub use link::{Link, PullOutcome};
pub use plain::PlainBatch;
pub use record::{NEVER, Record, RecordState};
pub use replica::{Merge, Replica, Slot};
pub use wire::{
    DigestAnswer, DigestRequest, Face, MAX_PULL, Of, PullAnswer, PullRequest, PushAnswer,
    PushRequest, WireRecord,
};
