//! Bounds the lines of rule changes: so many in a burst and so many a second for each actor. Further changes are counted,
//! and summed up in one entry a second, so that no client or peer can push all older entries out of the audit log.
//!
//! Renewals are bounded apart from adds and removals, which they cannot hide.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use couic_firewall::rules::{Actor, EventKind, RuleEvent};

/// Entries in a burst, some 50 MB: as many as the largest sets have lines.
pub(super) const BURST: u32 = 250_000;

/// Entries a second after that.
const PER_SECOND: u32 = 20;

/// How long changes are counted before they are summed up.
const ROUND: Duration = Duration::from_secs(1);

static SUMMED_UP: AtomicU64 = AtomicU64::new(0);

/// How many changes of rules had no entry of their own since the start.
#[must_use]
pub fn changes_summed_up() -> u64 {
    SUMMED_UP.load(Relaxed)
}

/// Changes of one actor without lines of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) added: u64,
    pub(super) updated: u64,
    pub(super) removed: u64,
}

impl Sum {
    pub(super) const fn total(self) -> u64 {
        self.added + self.updated + self.removed
    }
}

/// The lines that each actor may still write.
#[derive(Debug, Default)]
pub(super) struct Flood {
    actors: HashMap<Actor, Spent>,
    /// When the first change that is not yet summed up came.
    since: Option<Instant>,
}

#[derive(Debug)]
struct Spent {
    changes: Bucket,
    renewals: Bucket,
    sum: Sum,
}

/// Lines that may still be written.
#[derive(Debug)]
pub(super) struct Bucket {
    burst: u32,
    per_second: u32,
    lines: u32,
    filled: Instant,
}

impl Bucket {
    pub(super) const fn full(burst: u32, per_second: u32, now: Instant) -> Self {
        Self {
            burst,
            per_second,
            lines: burst,
            filled: now,
        }
    }

    /// Whether there is a line left, which is then spent.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.filled).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX);
            let more = more.saturating_mul(self.per_second);
            self.lines = self.burst.min(self.lines.saturating_add(more));
            self.filled += Duration::from_secs(seconds);
        }
        let has_line = self.lines > 0;
        self.lines -= u32::from(has_line);
        has_line
    }
}

impl Flood {
    /// Whether this change has a line of its own. If not, it is counted.
    pub(super) fn has_line(&mut self, event: &RuleEvent, now: Instant) -> bool {
        let actor = &event.origin.actor;
        // Looked up first: the name is cloned once.
        if !self.actors.contains_key(actor) {
            let full = || Bucket::full(BURST, PER_SECOND, now);
            let (changes, renewals) = (full(), full());
            let sum = Sum::default();
            let spent = Spent {
                changes,
                renewals,
                sum,
            };
            self.actors.insert(actor.clone(), spent);
        }
        let Some(spent) = self.actors.get_mut(actor) else {
            return true;
        };
        let (bucket, count) = match event.kind {
            EventKind::Added => (&mut spent.changes, &mut spent.sum.added),
            EventKind::Removed => (&mut spent.changes, &mut spent.sum.removed),
            EventKind::Updated | EventKind::Released => {
                (&mut spent.renewals, &mut spent.sum.updated)
            }
        };
        if bucket.take(now) {
            return true;
        }
        *count += 1;
        SUMMED_UP.fetch_add(1, Relaxed);
        self.since.get_or_insert(now);
        false
    }

    /// What is to be summed up now: once a second, and at the end.
    pub(super) fn sums(&mut self, now: Instant, last: bool) -> Vec<(Actor, Sum)> {
        let due = |since: Instant| last || now.saturating_duration_since(since) >= ROUND;
        if !self.since.is_some_and(due) {
            return Vec::new();
        }
        self.since = None;
        let some = self.actors.iter_mut().filter(|(_, s)| s.sum.total() > 0);
        let sums = some.map(|(actor, spent)| (actor.clone(), std::mem::take(&mut spent.sum)));
        sums.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::entries::tests::event;

    fn web() -> Actor {
        Actor::Client("web".parse().unwrap())
    }

    #[test]
    fn a_flood_of_one_actor_is_summed_up_and_hides_no_other() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        let added = event(web(), "ssh", 0);
        let lines = |flood: &mut Flood, count: u32, at| {
            (0..count).filter(|_| flood.has_line(&added, at)).count() as u32
        };
        assert_eq!(lines(&mut flood, BURST + 40_000, start), BURST);
        let other = event(Actor::Peer("web".parse().unwrap()), "ssh", 0);
        assert!(flood.has_line(&other, start));
        let mut renewed = added.clone();
        renewed.kind = EventKind::Updated;
        assert!(flood.has_line(&renewed, start));
        assert!(flood.sums(start, false).is_empty(), "once a second");
        let second = start + ROUND;
        let sum = Sum {
            added: 40_000,
            ..Sum::default()
        };
        assert_eq!(flood.sums(second, false), [(web(), sum)]);
        assert!(flood.sums(second + ROUND, true).is_empty());
        assert_eq!(lines(&mut flood, 1_000, second + ROUND), 2 * PER_SECOND);
        assert_eq!(flood.sums(second + ROUND, true)[0].1.total(), 960);
        let later = second + Duration::from_secs(1_000_000);
        assert_eq!(lines(&mut flood, BURST + 1, later), BURST);
    }
}
