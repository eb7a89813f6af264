//! Bounds of harm: a wrong jail, or an attack with forged sources, must not ban everybody.

use std::fmt;

use crate::{GuardConfig, sketch::Sketch};

const SECOND: i64 = 1_000_000;
/// Sources and bans are counted over this half and the one before: the last 5 to 10 minutes.
const HALF: i64 = 300 * SECOND;
const MINUTE: usize = 60;

/// Why a ban is held back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// There were so many new bans within a minute, the most that are allowed.
    Rate(u32),
    /// With it, so large a part (0 to 1) of the sources of the last 10 minutes would be banned.
    Share(f64),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(bans) => write!(f, "{bans} new bans within a minute, the most allowed"),
            Self::Share(share) => write!(
                f,
                "{:.0} % of the sources of the last 10 minutes would be banned",
                share * 100.0
            ),
        }
    }
}

/// Counts sources and new bans.
pub(crate) struct Guard {
    config: GuardConfig,
    /// New bans in each of the last 60 seconds.
    bans: [u32; MINUTE],
    second: i64,
    half_since: i64,
    /// Sources and bans of this half and the one before.
    seen: [Sketch; 2],
    banned: [u32; 2],
    /// The sources, and the second of the estimate: it takes microseconds.
    sources: (i64, f64),
}

impl Guard {
    pub(crate) fn new(config: GuardConfig) -> Self {
        Self {
            config,
            bans: [0; MINUTE],
            second: 0,
            half_since: 0,
            seen: [Sketch::default(), Sketch::default()],
            banned: [0; 2],
            sources: (0, 0.0),
        }
    }

    /// Goes on with the counts of another one, which gets its own.
    pub(crate) fn adopt(&mut self, old: &mut Self) {
        std::mem::swap(self, old);
        std::mem::swap(&mut self.config, &mut old.config);
    }

    pub(crate) fn set_siege(&mut self, on: bool) {
        self.config.siege = on;
    }

    /// A line of a source.
    #[inline]
    pub(crate) fn seen(&mut self, hash: u64, now: i64) {
        if now - self.half_since >= HALF {
            self.turn(now);
        }
        self.seen[0].add(hash);
    }

    #[cold]
    fn turn(&mut self, now: i64) {
        self.seen.swap(0, 1);
        self.banned.swap(0, 1);
        self.seen[0].clear();
        self.banned[0] = 0;
        if now - self.half_since >= 2 * HALF {
            self.seen[1].clear();
            self.banned[1] = 0;
        }
        self.half_since = now;
    }

    /// Whether one more source may be banned; if so, it is counted. Among bans by a jail whose lines tell of offenders
    /// only, such as failed logins, any share is normal: `crowd` is false.
    pub(crate) fn admit(&mut self, crowd: bool, now: i64) -> Result<(), Why> {
        let second = now / SECOND;
        let passed = usize::try_from(second - self.second).unwrap_or(0);
        for n in 0..passed.min(MINUTE) {
            let at = (second - n as i64).rem_euclid(MINUTE as i64) as usize;
            self.bans[at] = 0;
        }
        self.second = second;
        if !self.config.siege {
            self.judge(crowd)?;
        }
        let at = second.rem_euclid(MINUTE as i64) as usize;
        self.bans[at] = self.bans[at].saturating_add(1);
        self.banned[0] = self.banned[0].saturating_add(crowd.into());
        Ok(())
    }

    fn judge(&mut self, crowd: bool) -> Result<(), Why> {
        let minute: u64 = self.bans.iter().copied().map(u64::from).sum();
        if minute >= u64::from(self.config.bans_per_minute) {
            return Err(Why::Rate(self.config.bans_per_minute));
        }
        let banned = self.banned[0]
            .saturating_add(self.banned[1])
            .saturating_add(1);
        if !crowd || banned < self.config.share_from {
            return Ok(());
        }
        if self.sources.0 != self.second {
            self.sources = (self.second, self.sources());
        }
        let share = (f64::from(banned) / self.sources.1.max(1.0)).min(1.0);
        if share > self.config.share {
            return Err(Why::Share(share));
        }
        Ok(())
    }

    /// The sources seen in the last 5 to 10 minutes.
    pub(crate) fn sources(&self) -> f64 {
        self.seen[0].count(&self.seen[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000 * SECOND;

    fn guard(bans_per_minute: u32, share: f64) -> Guard {
        Guard::new(GuardConfig {
            bans_per_minute,
            share,
            ..GuardConfig::default()
        })
    }

    #[test]
    fn no_minute_has_more_bans_than_allowed() {
        let mut guard = guard(50, 1.0);
        let mut random = fastrand::Rng::with_seed(5);
        let mut admitted: Vec<i64> = Vec::new();
        let mut now = START;
        for _ in 0..5_000 {
            now += random.i64(0..400_000);
            if guard.admit(true, now).is_ok() {
                admitted.push(now);
            } else {
                assert_eq!(guard.judge(true), Err(Why::Rate(50)));
            }
        }
        let within = |at: i64| {
            admitted
                .iter()
                .filter(move |t| (at..at + 59 * SECOND).contains(*t))
        };
        assert!(admitted.iter().all(|at| within(*at).count() <= 50));
        assert!(admitted.len() > 600, "{}", admitted.len());
        guard.set_siege(true);
        assert!((0..500).all(|_| guard.admit(true, now).is_ok()));
    }

    #[test]
    fn a_fifth_of_the_sources_may_be_banned_from_a_hundred_bans_on() {
        let mut guard = guard(5_000, 0.2);
        let mut random = fastrand::Rng::with_seed(5);
        (0..1_000).for_each(|_| guard.seen(random.u64(..), START));
        let first_held = (1..).find(|_| guard.admit(true, START).is_err()).unwrap();
        assert!((180..=220).contains(&first_held), "{first_held}");
        let why = guard.admit(true, START).unwrap_err();
        assert!(why.to_string().starts_with("2"), "{why}");
        let later = START + 11 * 60 * SECOND;
        guard.seen(1, later);
        let first_held = (1..).find(|_| guard.admit(true, later).is_err());
        assert_eq!(first_held, Some(100), "few bans are not judged");
        assert!(
            (0..1_000).all(|_| guard.admit(false, later).is_ok()),
            "logins have no crowd"
        );
    }
}
