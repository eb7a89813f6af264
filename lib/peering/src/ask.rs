//! What a link wants to be done, and what can be seen of it.

use couic_common::{Cidr, Policy};

use crate::{Of, PlainBatch};

/// How a peer is dealt with.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// The policies that are shared with it.
    pub policies: Vec<Policy>,
    /// Changes are gathered for so long, in milliseconds. The first one after a pause goes at once.
    pub gather: u64,
    /// Between two comparisons, in milliseconds; give or take a quarter.
    pub compare: u64,
    /// How many registers may wait.
    pub queue: usize,
    /// How many registers go into one request at most.
    pub batch: usize,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            policies: vec![Policy::Drop],
            gather: 250,
            compare: 10_000,
            queue: 100_000,
            batch: 4_000,
        }
    }
}

/// A request to make.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Digests.
    Digest(Policy, Of),
    /// The registers in these leaves.
    Pull(Policy, Vec<(u16, u16)>),
    /// Send these registers. What they say is looked up by who sends them.
    Push(Policy, Vec<Cidr>),
    /// Send these jobs to a node that knows nothing else.
    Plain(PlainBatch),
}

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Make this request, and tell how it went.
    Ask(Ask),
    /// Nothing before this monotonic time (ms), unless something changes.
    Wait(u64),
}

/// Why a request was not answered as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The body is larger than the peer, or a proxy before it, allows: 413.
    TooLarge,
    /// A Couic that does not know the route: 404 or 405.
    Unknown,
    /// A Couic that does not take these jobs: 422 or 409 to a plain request.
    Refused(String),
    /// Anything else.
    Other(String),
}

/// Where a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// There was no answer yet.
    Connecting,
    /// A comparison has found differences that are being levelled, or was not made yet.
    Syncing,
    /// The last comparison found nothing to do.
    InSync,
    /// The peer knows nothing but plain jobs: it is told what changes here.
    Plain,
    /// The last request failed.
    Failing,
}

/// What can be seen of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// Where it stands.
    pub state: LinkState,
    /// Registers that wait.
    pub queue: usize,
    /// For how long the oldest of them has been waiting, in milliseconds.
    pub lag: u64,
    /// Registers that differed at the last comparison.
    pub differing: u64,
    /// Ranges that differ and that nothing can be done about: one side refuses registers in them.
    pub refused_ranges: u64,
    /// What went wrong last, and when (Unix ms).
    pub last_error: Option<(u64, String)>,
    /// When it last answered, Unix ms; 0 = never.
    pub last_answer: u64,
    /// When nothing differed the last time, Unix ms; 0 = never.
    pub last_equal: u64,
    /// By how much its clock is ahead of ours, ms.
    pub gap: Option<i64>,
    /// Registers that were sent.
    pub sent: u64,
    /// Registers that it did not take.
    pub refused: u64,
    /// How often too much waited, so that a comparison had to find it.
    pub overflows: u64,
}
