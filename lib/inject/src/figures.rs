//! Figures for metrics and messages.

use std::time::Duration;

/// The state of an injector. Counters begin with its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Rules and removals that wait, those under way included.
    pub pending: usize,
    /// The bytes of their texts.
    pub pending_bytes: usize,
    /// How long the oldest of them has waited.
    pub oldest: Option<Duration>,
    /// Batches that the daemon answered.
    pub batches: u64,
    /// Rules and removals that the daemon has taken.
    pub applied: u64,
    /// Batches that failed as a whole; their rules were sent again.
    pub failures: u64,
    /// Rules that the daemon refused (guard rails, scope of the token, a full table), or that could not be one. They are
    /// not sent again.
    pub refused: u64,
    /// The last refusal.
    pub refusal: Option<String>,
    /// How often a rule had to wait because the daemon limits how fast this client adds, or failed on it.
    pub postponed: u64,
    /// Rules that went at the bound of what is held.
    pub dropped: u64,
    /// Bans that ended before they could be sent.
    pub expired: u64,
    /// Rules of which texts were cut or left out.
    pub cut: u64,
    /// When the daemon last answered a batch, Unix seconds.
    pub last_success: Option<u64>,
    /// Why batches fail at present.
    pub problem: Option<String>,
    /// That the daemon refuses the token, until it takes one.
    pub token_problem: Option<String>,
    /// Why the ignore list cannot be read at present.
    pub ignored_problem: Option<String>,
}
