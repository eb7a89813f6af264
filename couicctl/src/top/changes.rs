//! The newest changes, from the daemon's log of changes.

use couic_client::{Client, ClientError};
use couic_common::{Cidr, Policy};

use super::look::Tone;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Unix seconds, by the daemon's clock.
    pub(super) at: u64,
    /// The rule.
    pub(super) rule: Option<(Policy, Cidr)>,
    /// What was done, to what, and why.
    pub(super) what: String,
    /// Who did it.
    pub(super) who: String,
    pub(super) tone: Tone,
}

#[expect(clippy::unused_async, reason = "the route is about to come")]
pub(super) async fn read(_client: &Client) -> Result<Vec<Change>, ClientError> {
    Ok(Vec::new())
}
