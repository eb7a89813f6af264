//! Replication of rules between nodes. No I/O, no clock, no threads: time and messages are arguments, so that the
//! simulation runs the same code as the daemon.
//!
//! Guarantees:
//! - There is one register per policy, CIDR and machine that writes it. It holds that machine's last write; nodes that have
//!   seen the same writes, in any order, hold the same registers. A rule is in force while any machine wants it.
//! - A machine writes its own registers alone. What a peer says in the name of another counts as that peer's, and ends as
//!   soon as the other is heard. So a forgery, a tie or a wrong clock costs only its author.
//! - A deletion is a write. It stays as a tombstone for the configured lifetime, so that no older write comes back.
//! - Each peer has a share of the registers and of the addresses: none uses up what others need.
//! - The cost of an exchange depends on the differences: digests of ranges find the registers to send.
//! - The queue of a peer is bounded. Changes that do not fit are not lost: the next comparison of digests finds them.
//! - Wall clocks may differ by up to an hour. Expirations are translated.
//!
//! [`Replica`] is the state; [`Link`] is one node's view of one peer, which decides the next request and processes the
//! response.
//!
//! ```
//! use couic_common::{Policy, RuleKey};
//! use couic_peering::{Limits, Merge, Moment, NEVER, NodeId, Offer, PeerId, RecordState, Replica};
//!
//! let now = Moment { wall: 1_800_000_000_000, mono: 0 };
//! let [mut a, mut b] = [1, 2].map(|machine| Replica::new(NodeId::started(machine, 0), 86_400_000, 1000));
//! let limits = Limits::default();
//! let peer = b.introduce(&limits);
//! b.heard(peer, a.node(), now);
//! let key = RuleKey::new(Policy::Drop, "192.0.2.0/24".parse()?);
//! a.write(key, RecordState::Live { tag: None, until: NEVER }, PeerId::SELF, now);
//!
//! let record = a.own(key).unwrap().record.clone();
//! let offer = Offer { cidr: key.cidr, record, shift: 0, ended: false, heeded: false, reason: None };
//! assert_eq!(b.merge(peer, key, &offer, &limits, now), Merge::Newer);
//! assert_eq!(b.merge(peer, key, &offer, &limits, now), Merge::Same);
//! assert_eq!(a.tree(Policy::Drop).root(), b.tree(Policy::Drop).root());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ask;
mod backoff;
mod check;
mod clock;
mod digest;
mod gap;
mod known;
mod limits;
mod link;
mod outbox;
mod plain;
mod record;
mod replica;
mod wire;

pub use ask::{Ask, Failure, LinkSettings, LinkState, LinkStatus, Next};
pub use clock::{MAX_AHEAD, Moment, NodeId, Stamp, mark_of_host};
pub use digest::{LEAVES, Tree};
pub use gap::Gap;
pub use known::{PeerId, Share, addresses_of};
pub use limits::{Limits, Refusal, Tokens};
pub use link::{Link, PullOutcome};
pub use plain::PlainBatch;
pub use record::{NEVER, Record, RecordState, RegisterId, Slot, leaf_of};
pub use replica::{Merge, Offer, Replica};
pub use wire::{
    DigestAnswer, DigestRequest, Face, MAX_PULL, Mark, Of, PROTOCOL, PullAnswer, PullRequest,
    PushAnswer, PushRequest, Unfit, WireRecord,
};

/// Text of a peer, as it is shown to operators.
fn shown(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(300).collect()
}
