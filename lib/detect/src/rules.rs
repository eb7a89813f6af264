//! Checked rules: what [`DetectConfig`](crate::DetectConfig) says, without mistakes, and compiled.

mod check;
mod filter;
mod globs;
mod literals;
mod pattern;
mod rate;
mod regexes;
mod scan;
mod status;
mod text;

use std::{fmt, sync::Arc, time::Duration};

pub(crate) use self::{
    filter::Filter,
    pattern::Pattern,
    scan::{Scan, bits},
    status::STATUSES,
    text::text,
};
use crate::{
    Distinct, GuardConfig, JailConfig, LadderConfig, Nets, WidenConfig, bots::Bots, bucket::Depth,
};

/// One bit per jail of a source, and one for each of its login rules.
pub(crate) type Mask = u128;

/// A mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key, as in `jail.login.rate`.
    pub key: String,
    /// What is wrong, and what is expected.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Checked rules.
pub struct Rules {
    pub(crate) v6_prefix: u8,
    pub(crate) jails: Vec<Jail>,
    /// One per source.
    pub(crate) scans: Vec<Scan>,
    pub(crate) ladder: LadderConfig,
    pub(crate) widen: Option<WidenConfig>,
    pub(crate) guard: GuardConfig,
    pub(crate) bots: Bots,
    pub(crate) ignore: Nets,
    pub(crate) warnings: Vec<Mistake>,
}

impl Rules {
    /// What is allowed, but dangerous or without effect.
    #[must_use]
    pub fn warnings(&self) -> &[Mistake] {
        &self.warnings
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jails = self.jails.iter().map(|jail| &jail.name);
        f.debug_list().entries(jails).finish()
    }
}

/// What a jail does with hits; which lines are hits is known to [`Scan`].
#[derive(Clone)]
pub(crate) struct Jail {
    /// What it was made of, to tell whether a reload changes it.
    pub(crate) config: JailConfig,
    pub(crate) name: Arc<str>,
    pub(crate) tag: Arc<str>,
    pub(crate) rate: Arc<str>,
    pub(crate) depth: Depth,
    pub(crate) distinct: Option<Distinct>,
    pub(crate) ban: Duration,
    pub(crate) shadow: bool,
    pub(crate) cells: u32,
    /// Whether others than offenders appear in its lines: not if it counts logins, or finds addresses in messages.
    pub(crate) crowd: bool,
}
