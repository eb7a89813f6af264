//! Requests of a link, and its status.

use couic_common::{Cidr, Policy};

use crate::{Mark, Of, PlainBatch};

/// Settings of the link to a peer.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// The policies shared with it.
    pub policies: Vec<Policy>,
    /// Time for which changes are batched, in milliseconds. The first change after a pause is sent at once.
    pub gather: u64,
    /// Interval of comparisons in milliseconds, plus or minus a quarter.
    pub compare: u64,
    /// Maximum number of queued registers.
    pub queue: usize,
    /// Maximum number of registers per request.
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

/// A request to send.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Digests.
    Digest(Policy, Of),
    /// The registers in these leaves, behind a place.
    Pull(Policy, Vec<(u16, u16)>, Option<Mark>),
    /// Send these registers, each given by its network and author. The sender looks up their content.
    Push(Policy, Vec<(Cidr, u32)>),
    /// Send these jobs to a node that supports nothing else.
    Plain(PlainBatch),
}

/// The next action of a link.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Send this request and report the result.
    Ask(Ask),
    /// Nothing to do before this monotonic time (ms), unless something changes.
    Wait(u64),
}

/// The reason why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The body exceeds the limit of the peer or of a proxy in front of it: 413.
    TooLarge,
    /// A Couic without this route: 404 or 405.
    Unknown,
    /// A Couic that has it, and does not share rules.
    NotEnabled,
    /// A Couic that rejects these jobs: 422 or 409 to a plain request.
    Refused(String),
    /// Any other error.
    Other(String),
}

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// No response so far.
    Connecting,
    /// The last comparison found differences, or registers that one side refuses, or there was none yet.
    Syncing,
    /// At the last comparison both held the very same.
    InSync,
    /// The peer supports plain jobs only: it receives local changes.
    Plain,
    /// The last request failed.
    Failing,
    /// It responds, and does not share rules (yet): it is asked again soon, and sent nothing.
    NotEnabled,
}

/// The status of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// Its state.
    pub state: LinkState,
    /// Queued registers.
    pub queue: usize,
    /// Age of the oldest queued register, in milliseconds.
    pub lag: u64,
    /// Registers that differed at the last comparison.
    pub differing: u64,
    /// Ranges that keep differing, because one side rejects registers in them.
    pub refused_ranges: u64,
    /// Time (Unix ms) and text of the last error.
    pub last_error: Option<(u64, String)>,
    /// Time of the last response, Unix ms; 0 = never.
    pub last_answer: u64,
    /// Time of the last comparison without differences, Unix ms; 0 = never.
    pub last_equal: u64,
    /// Offset of its clock from the local one in ms, positive if it is ahead.
    pub gap: Option<i64>,
    /// Registers sent.
    pub sent: u64,
    /// Registers that it rejected.
    pub refused: u64,
    /// Queue overflows, after which a comparison finds the lost changes.
    pub overflows: u64,
}
