//! Figures for metrics, health and messages.

use std::collections::BTreeMap;

/// The state of a consumer. Counters begin with its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The last pull succeeded.
    pub connected: bool,
    /// When a pull last succeeded, Unix seconds.
    pub last_success: Option<u64>,
    /// Why pulls fail at present, and what to do.
    pub problem: Option<String>,
    /// Pulls that succeeded, and that failed.
    pub pulls: u64,
    /// Pulls that failed.
    pub failures: u64,
    /// Full pulls that succeeded.
    pub full_compares: u64,
    /// Bans of the LAPI that are in force there and taken.
    pub decisions: usize,
    /// Claims at the daemon, those that it refused included: one for each network and origin.
    pub claims: usize,
    /// Networks that wait to be brought to the daemon; further ones wait in the injector.
    pub waiting: usize,
    /// Claims that were made.
    pub added: u64,
    /// Claims whose end was changed.
    pub renewed: u64,
    /// Claims that were released.
    pub removed: u64,
    /// Decisions that are not taken, by reason, since the last full pull: `type`, `scope`, `filtered`, `simulated`, `wide`,
    /// `malformed`, `ended`.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Networks that are not banned since the daemon's ignore list covers them.
    pub ignored: usize,
    /// Claims that the daemon refuses at present, by reason: the name of a guard rail, or `forbidden`, `invalid`, `other`.
    pub refused: BTreeMap<&'static str, u64>,
    /// The last refusal.
    pub refusal: Option<String>,
    /// Bans are kept although the LAPI does not tell them any more: how many, why, and what to do.
    pub kept: Option<String>,
    /// There are more decisions than are held: those behind the bound are not banned.
    pub cut: bool,
    /// Why the daemon's list cannot be read at present: bans that ended while this did not run may stay.
    pub daemon_problem: Option<String>,
}
