//! Rules that several nodes share, and how they come to agree on them. No IO, no clock, no thread: time and messages
//! are handed in, so that a simulation runs the very code that the daemon runs.
//!
//! What holds:
//! - There is one register for each policy and CIDR. It holds the last write, by hybrid logical clock and node; every
//!   node that has seen the same writes holds the same registers, whatever the order in which they came.
//! - A deletion is a write. It stays as a tombstone for the configured lifetime, so that nothing older comes back.
//! - An exchange costs what differs: digests of ranges find the registers that are to be sent.
//! - What waits for a peer is bounded. What does not fit is not lost: the next comparison of digests finds it.
//! - Clocks may differ by up to an hour. Order is kept by the logical clock; times of expiry are translated between
//!   the clocks of the two nodes that talk.
//!
//! `Replica` is the state, [`Link`] is one node's view of one peer: it says what to ask next and takes the answer.

mod ask;
mod backoff;
mod check;
mod clock;
mod digest;
mod limits;
mod link;
mod outbox;
mod plain;
mod record;
mod replica;
mod wire;

pub use ask::{Ask, Failure, LinkSettings, LinkState, LinkStatus, Next};
pub use backoff::Backoff;
pub use clock::{Gap, Hlc, MAX_AHEAD, Moment, NodeId, Stamp, TooFarAhead};
pub use digest::{LEAVES, Tree};
pub use limits::{Limits, Refusal, Tokens};
pub use link::{Link, PullOutcome};
pub use plain::PlainBatch;
pub use record::{NEVER, Record, RegisterState};
pub use replica::{Merge, Replica, Slot};
pub use wire::{
    DigestAnswer, DigestRequest, Face, MAX_PULL, Of, PullAnswer, PullRequest, PushAnswer,
    PushRequest, WireRecord,
};
