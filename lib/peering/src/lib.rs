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
//!
//! ```
//! use couic_common::{Policy, RuleKey};
//! use couic_peering::{Merge, Moment, NEVER, NodeId, RecordState, Replica};
//!
//! let now = Moment { wall: 1_800_000_000_000, mono: 0 };
//! let [mut a, mut b] = [1, 2].map(|node| Replica::new(NodeId(node), now, 86_400_000, 1000));
//! let key = RuleKey::new(Policy::Drop, "192.0.2.0/24".parse()?);
//! a.write(key, RecordState::Live { tag: None, until: NEVER }, (), now);
//!
//! let record = a.get(key).unwrap().record.clone();
//! assert_eq!(b.merge(key, record.clone(), (), now), Merge::Newer);
//! assert_eq!(b.merge(key, record, (), now), Merge::Same);
//! assert_eq!(a.tree(Policy::Drop).root(), b.tree(Policy::Drop).root());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
