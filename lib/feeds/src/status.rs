//! What the operator is told of feeds.

use couic_common::Policy;
use serde::Serialize;

use crate::{judge::Change, sieve::Dropped};

/// How a feed stands; the first that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedState {
    /// It is not configured any more, and its set is about to be removed.
    Orphan,
    /// A list is held back: `feeds accept` takes it.
    HeldBack,
    /// The list was not confirmed for three intervals: an alarm.
    Stale,
    /// The last request, or the last write to the daemon, failed; the last good list stays.
    Failing,
    /// There is no list yet.
    Waiting,
    /// The list is good, and not in force as `shadow` is not `false`.
    Shadow,
    /// The list is good and in force.
    Ok,
}

impl FeedState {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::HeldBack => "held back",
            Self::Stale => "stale",
            Self::Failing => "failing",
            Self::Waiting => "waiting",
            Self::Shadow => "shadow",
            Self::Ok => "ok",
        }
    }
}

/// A list that is held back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Held {
    /// The first 12 digits of its checksum.
    pub hash: String,
    /// Its networks, merged.
    pub networks: u64,
    /// When it was fetched, in Unix seconds.
    pub fetched_at: u64,
    /// Why it is held back.
    pub why: String,
    /// What is different.
    pub change: Option<Change>,
}

/// A feed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeedStatus {
    /// Its name.
    pub name: String,
    /// The policy of its set.
    pub policy: Policy,
    /// Where the list comes from, without secrets.
    pub source: String,
    /// How it stands.
    pub state: FeedState,
    /// What is wrong, for the operator.
    pub problem: Option<String>,
    /// Why the daemon has not got the last good list.
    pub unapplied: Option<String>,
    /// Entries of the last good list.
    pub entries: u64,
    /// Networks of its set that are in force; in shadow, that would be.
    pub networks: u64,
    /// Whether a set of it is in force.
    pub in_force: bool,
    /// Networks that the daemon's guard rails leave out.
    pub refused: u64,
    /// Entries that are not taken.
    pub dropped: Dropped,
    /// When the last good list was fetched, in Unix seconds; 0 if there is none.
    pub fetched_at: u64,
    /// Seconds since the list was last confirmed to be the current one; since the feed is configured, if it never was.
    pub age: u64,
    /// Whether that is more than three intervals.
    pub is_stale: bool,
    /// When it is fetched next, in Unix seconds.
    pub next_at: u64,
    /// Failed requests in a row.
    pub failures: u32,
    /// The list that is held back.
    pub held: Option<Held>,
}
