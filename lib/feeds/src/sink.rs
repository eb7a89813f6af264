//! Where lists go: to sets of the daemon, each at once and as a whole.

use std::fmt;

use bytes::Bytes;
use couic_common::{Networks, Policy, SetName};

/// What became of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// Entries that the daemon's guard rails left out.
    pub refused: u64,
}

/// The daemon did not take a list.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct SinkError {
    /// For the operator.
    pub text: String,
}

/// Takes the lists of feeds.
#[async_trait::async_trait]
pub trait SetSink: Send + Sync + fmt::Debug {
    /// Creates or replaces a set, file and rules, as a whole or not at all.
    ///
    /// # Errors
    /// [`SinkError`]; the former set stays then.
    async fn put(&self, policy: Policy, set: &SetName, list: Bytes) -> Result<Put, SinkError>;

    /// Removes a set, file and rules. One that is not there is no error.
    ///
    /// # Errors
    /// [`SinkError`].
    async fn remove(&self, policy: Policy, set: &SetName) -> Result<(), SinkError>;

    /// Whether there is such a set: one that an operator has deleted is written again.
    ///
    /// # Errors
    /// [`SinkError`].
    async fn has(&self, policy: Policy, set: &SetName) -> Result<bool, SinkError>;

    /// The networks of a set as its file has them; `None` if there is no such set. A feed whose own files are lost measures
    /// a new list by them.
    ///
    /// # Errors
    /// [`SinkError`].
    async fn read(&self, policy: Policy, set: &SetName) -> Result<Option<Networks>, SinkError>;

    /// The daemon's ignore list, in any order.
    ///
    /// # Errors
    /// [`SinkError`].
    async fn ignored(&self) -> Result<Networks, SinkError>;
}
