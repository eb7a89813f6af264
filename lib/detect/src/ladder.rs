//! How long a ban lasts: longer each time that a source comes back.

use std::{net::IpAddr, time::Duration};

use crate::{LadderConfig, clock::Clock, key::Key, memory::Memory};

/// What is remembered of a source, to be saved and restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LadderRow {
    /// The address; of IPv6 that of the prefix.
    pub addr: IpAddr,
    /// Its bans, without renewals.
    pub level: u32,
    /// When its last ban ends, in Unix milliseconds.
    pub ends_ms: i64,
}

#[derive(Clone, Copy, Default)]
struct Rung {
    level: u32,
    ends: i64,
}

/// The bans of each source.
pub(crate) struct Ladder {
    config: LadderConfig,
    rungs: Memory<Rung>,
}

pub(crate) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 4)
}

impl Ladder {
    pub(crate) fn new(config: LadderConfig, seed: u64) -> Self {
        Self {
            config,
            rungs: Memory::new(config.entries as usize, seed),
        }
    }

    /// The bans of a source that count.
    pub(crate) fn level(&self, key: Key, now: i64) -> u32 {
        self.rungs.get(key, now).map_or(0, |(rung, _)| rung.level)
    }

    /// The length of the `level`-th ban, from 1 on.
    pub(crate) fn length(&self, base: Duration, level: u32) -> Duration {
        let relapses = i32::try_from(level.saturating_sub(1)).unwrap_or(i32::MAX);
        let length = base.as_secs_f64() * self.config.factor.powi(relapses);
        let max = self.config.max.as_secs_f64();
        // Whole seconds: rules end at seconds.
        Duration::from_secs(length.min(max).ceil() as u64)
    }

    /// A source is banned until `ends`.
    pub(crate) fn climb(&mut self, key: Key, level: u32, ends: i64, now: i64) {
        let until = ends.saturating_add(micros(self.config.memory));
        let ends = self
            .rungs
            .get(key, now)
            .map_or(ends, |(r, _)| r.ends.max(ends));
        self.rungs.set_until(key, Rung { level, ends }, until, now);
    }

    pub(crate) fn forget(&mut self, key: Key) {
        self.rungs.remove(key);
    }

    pub(crate) fn rows(&self, clock: &Clock) -> Vec<LadderRow> {
        let rungs = self.rungs.iter(clock.now());
        rungs
            .map(|(key, rung, _)| LadderRow {
                addr: key.addr(),
                level: rung.level,
                ends_ms: clock.outside(rung.ends),
            })
            .collect()
    }

    pub(crate) fn restore(&mut self, row: LadderRow, v6_prefix: u8, clock: &Clock) {
        let key = Key::of(row.addr, v6_prefix);
        let level = row.level.max(self.level(key, 0));
        self.climb(key, level, clock.inside(row.ends_ms), 0);
    }

    /// Sources that had to be forgotten early.
    pub(crate) fn lost(&self) -> u64 {
        self.rungs.lost()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_grow_up_to_the_longest() {
        let ladder = Ladder::new(LadderConfig::default(), 1);
        let minutes = |level| ladder.length(Duration::from_secs(600), level).as_secs() / 60;
        let lengths: Vec<u64> = [1, 2, 3, 4, 6, 60, u32::MAX].map(minutes).into();
        let week = 7 * 24 * 60;
        assert_eq!(lengths, [10, 40, 160, 640, week, week, week]);
    }

    #[test]
    fn rows_survive_a_restart_and_end_with_their_memory() {
        let mut clock = Clock::new(1_000);
        let now = clock.tick(1_700_000_000_000);
        let config = LadderConfig::default();
        let mut ladder = Ladder::new(config, 1);
        let key = Key::of("192.0.2.7".parse().unwrap(), 64);
        ladder.climb(key, 3, now + 60_000_000, now);
        let rows = ladder.rows(&clock);
        assert_eq!(rows[0].ends_ms, 1_700_000_060_000);
        let mut restored = Ladder::new(config, 2);
        restored.restore(rows[0], 64, &Clock::new(1_000));
        assert_eq!(restored.level(key, now), 3);
        let later = now + 60_000_000 + micros(config.memory);
        assert_eq!(
            (restored.level(key, later - 1), restored.level(key, later)),
            (3, 0)
        );
        restored.forget(key);
        assert_eq!(restored.level(key, now), 0);
    }
}
