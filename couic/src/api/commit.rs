//! Durability before an answer.
//!
//! A request that may have changed something makes its connection owe a commit of the journal. The connection's writer
//! redeems it before it sends the answer, so that every acknowledged change survives kill -9. Pipelined requests share
//! one commit, since their answers are sent together; requests that only read never wait for the disk.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use couic_firewall::rules::Firewall;

/// The commit that a connection may owe. Used by the connection's own task alone.
pub(super) struct OwedCommit {
    firewall: Arc<Firewall>,
    is_owed: AtomicBool,
}

impl OwedCommit {
    pub(super) fn new(firewall: Arc<Firewall>) -> Self {
        Self {
            firewall,
            is_owed: AtomicBool::new(false),
        }
    }

    /// To be called after a request that may have changed something, before its answer is sent.
    pub(super) fn owe(&self) {
        self.is_owed.store(true, Relaxed);
    }

    /// To be called before answers are sent.
    pub(super) fn redeem(&self) {
        if self.is_owed.swap(false, Relaxed) {
            self.firewall.commit();
        }
    }
}
