//! The newest changes, from the daemon's log of changes.

use couic_client::{Client, ClientError};
use couic_common::{Cidr, Policy};

use super::{look::Tone, model::Rule, rows::brief};

/// How many changes are shown at most.
const NEWEST: usize = 200;

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

/// None, as this version of the client library does not read the log yet: the panel shows the newest rules.
#[expect(clippy::unused_async, reason = "reading the log is a request")]
pub(super) async fn read(_client: &Client) -> Result<Vec<Change>, ClientError> {
    Ok(Vec::new())
}

/// What is known of changes without the log: the newest rules.
pub(super) fn of_rules(rules: &[&Rule]) -> Vec<Change> {
    let change = |rule: &&Rule| {
        let Rule { policy, entry, .. } = rule;
        let tag = entry
            .tag
            .as_ref()
            .map_or_else(String::new, |tag| format!("  {tag}"));
        Change {
            at: entry.creation,
            rule: Some((*policy, entry.cidr)),
            what: format!("added {policy} {}{tag}", brief(entry.cidr)),
            who: String::new(),
            tone: Tone::Plain,
        }
    };
    rules.iter().take(NEWEST).map(change).collect()
}
