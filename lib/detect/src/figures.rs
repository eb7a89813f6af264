//! What the detector tells about itself.

use std::{net::IpAddr, sync::Arc};

use crate::Dominant;

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Lines.
    pub lines: u64,
    /// Lines of which only trusted proxies are known.
    pub of_proxies: u64,
    /// Hits of jails in lines whose address neither the format nor a regex gave.
    pub no_address: u64,
    /// Full buckets of sources that are never banned.
    pub ignored: u64,
    /// Full buckets of crawlers that were verified, or are about to be.
    pub verified: u64,
    /// Full buckets of sources with a ban that still runs.
    pub running: u64,
    /// Bans, renewals among them, without shadow mode.
    pub bans: u64,
    /// Bans told once more, since the source goes on though most of its ban is over.
    pub renewals: u64,
    /// Bans that run, told again with the same end, since their sources come through; not among the bans.
    pub again: u64,
    /// Networks that were banned as a whole.
    pub widened: u64,
    /// Networks that were not, since they have an address that is never banned.
    pub widen_refused: u64,
    /// Bans in shadow mode.
    pub shadow: u64,
    /// Bans that were held back.
    pub held: u64,
    /// Questions about crawlers.
    pub asked: u64,
    /// Entries of bans and ladders that had to be forgotten early.
    pub forgotten: u64,
    /// Sources seen in the last 5 to 10 minutes, about.
    pub sources: u64,
    /// Addresses that have most lines of a source.
    pub dominant: Vec<Dominant>,
}

/// Figures of a jail since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JailFigures {
    /// The name.
    pub jail: Arc<str>,
    /// Whether it is in shadow mode.
    pub shadow: bool,
    /// Lines that met its conditions.
    pub hits: u64,
    /// Bans, renewals among them; 0 in shadow mode.
    pub bans: u64,
    /// Bans in shadow mode.
    pub shadow_bans: u64,
    /// Bans that were held back.
    pub held: u64,
    /// The part of the cells that is in use, 0 to 1.
    pub fill: f64,
    /// Buckets that had to make room while not empty: too many for `cells`, bans may come late.
    pub pushed_out: u64,
}

/// What a jail thinks of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The jail.
    pub jail: Arc<str>,
    /// Whether the line is a hit.
    pub hit: bool,
    /// The address that it is a hit of.
    pub addr: Option<IpAddr>,
    /// Why it is none, or what the hit does.
    pub why: String,
}
