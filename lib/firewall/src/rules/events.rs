//! The one stream of rule changes, and its followers.
//!
//! The owner of the rules never waits for a follower, and hardly pays for one: a change is written once, into a block
//! in memory, however many follow. Followers take whole blocks and share them, so that all that they do with events,
//! down to freeing them, happens off the lock and on their own threads. Each has a bound of its own; what it left
//! lying beyond that is counted as missed. Everybody sees the same order.

use std::{
    collections::VecDeque,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::RuleEvent;

/// Events of a full block. Followers hold and free memory in these units.
const BLOCK: usize = 64;

/// The publishing side, owned by the core.
#[derive(Debug, Default)]
pub(super) struct EventBus {
    journal: Arc<Mutex<Journal>>,
    seq: u64,
}

/// What was published and not taken by everybody. While somebody follows, numbers are without gaps, so that the number
/// of an event tells where it stands.
#[derive(Debug, Default)]
struct Journal {
    sealed: VecDeque<Block>,
    open: Vec<RuleEvent>,
    /// The number of the last event.
    last: u64,
    followers: Vec<Follower>,
    /// Whether one of them sleeps.
    asleep: bool,
}

/// Events that are complete. The vector is never moved again.
type Block = Arc<Vec<RuleEvent>>;

#[derive(Debug)]
struct Follower {
    /// The number of the event that it gets next.
    next: u64,
    capacity: u64,
    asleep: bool,
    filled: Arc<Condvar>,
}

/// A follower's end of the stream. Dropping it ends the following.
#[derive(Debug)]
pub struct Subscription {
    journal: Arc<Mutex<Journal>>,
    /// Also what tells this follower from the others.
    filled: Arc<Condvar>,
}

/// What a follower gets at a time.
#[derive(Debug, Default)]
pub struct Received {
    /// In the order in which they took effect. Empty where the time ran out.
    pub events: Events,
    /// How many events before these were lost because the follower was slow.
    pub missed: u64,
}

/// Some events in a row, shared with other followers.
#[derive(Debug, Default)]
pub struct Events {
    blocks: Vec<Block>,
    /// Events of the first block that this follower had before, or missed.
    skip: usize,
}

impl Events {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &RuleEvent> {
        let blocks = self.blocks.iter().flat_map(|block| block.iter());
        blocks.skip(self.skip)
    }

    /// The first.
    #[must_use]
    pub fn first(&self) -> Option<&RuleEvent> {
        self.iter().next()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

impl EventBus {
    pub(super) fn subscribe(&mut self, capacity: usize) -> Subscription {
        let filled = Arc::<Condvar>::default();
        self.journal.lock().followers.push(Follower {
            next: self.seq + 1,
            capacity: capacity.max(1) as u64,
            asleep: false,
            filled: Arc::clone(&filled),
        });
        Subscription {
            journal: Arc::clone(&self.journal),
            filled,
        }
    }

    /// Hands an event to every follower. `make` gets the event's number, and runs only if somebody follows.
    pub(super) fn publish(&mut self, make: impl FnOnce(u64) -> RuleEvent) {
        self.seq += 1;
        let mut journal = self.journal.lock();
        journal.last = self.seq;
        if journal.followers.is_empty() {
            return;
        }
        journal.open.push(make(self.seq));
        if journal.open.len() >= BLOCK {
            journal.seal();
            journal.open.reserve_exact(BLOCK);
            drop(journal.unneeded());
        }
        if journal.asleep {
            journal.wake();
        }
    }
}

impl Journal {
    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.sealed.push_back(Arc::new(mem::take(&mut self.open)));
        }
    }

    fn wake(&mut self) {
        self.asleep = false;
        for follower in &mut self.followers {
            if mem::take(&mut follower.asleep) {
                follower.filled.notify_one();
            }
        }
    }

    fn set_asleep(&mut self, filled: &Arc<Condvar>, asleep: bool) {
        if let Some(follower) = self.follower(filled) {
            follower.asleep = asleep;
        }
        self.asleep = self.followers.iter().any(|follower| follower.asleep);
    }

    /// Takes out what nobody is to get any more. Freeing it is left to the caller.
    fn unneeded(&mut self) -> Vec<Block> {
        let wanted = |follower: &Follower| follower.first(self.last);
        let first = self.followers.iter().map(wanted).min();
        let first = first.unwrap_or(u64::MAX);
        let past = |block: &&Block| block.last().is_none_or(|event| event.seq < first);
        let count = self.sealed.iter().take_while(past).count();
        self.sealed.drain(..count).collect()
    }

    fn follower(&mut self, filled: &Arc<Condvar>) -> Option<&mut Follower> {
        let mut all = self.followers.iter_mut();
        all.find(|follower| Arc::ptr_eq(&follower.filled, filled))
    }

    /// What a follower has not seen yet, as far as its capacity goes.
    fn take(&mut self, filled: &Arc<Condvar>) -> Received {
        let last = self.last;
        let Some(follower) = self.follower(filled) else {
            return Received::default();
        };
        let first = follower.first(last);
        let missed = first - follower.next;
        follower.next = last + 1;
        if first > last {
            return Received::default();
        }
        self.seal();
        let seen = |block: &&Block| block.last().is_none_or(|event| event.seq < first);
        let blocks: Vec<Block> = self.sealed.iter().skip_while(seen).cloned().collect();
        let begin = blocks.first().and_then(|block| block.first());
        let skip = begin.map_or(0, |event| first.saturating_sub(event.seq));
        Received {
            events: Events {
                blocks,
                // Less than a block has.
                skip: usize::try_from(skip).unwrap_or(usize::MAX),
            },
            missed,
        }
    }
}

impl Follower {
    /// The number of the first event that it gets, where the last is this one: the oldest are those that it misses.
    fn first(&self, last: u64) -> u64 {
        self.next.max((last + 1).saturating_sub(self.capacity))
    }
}

impl Subscription {
    /// Takes all that is there; waits up to `timeout` for the first event.
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Received {
        let mut journal = self.journal.lock();
        let deadline = Instant::now() + timeout;
        loop {
            let received = journal.take(&self.filled);
            if !received.events.is_empty() || timeout.is_zero() {
                let unneeded = journal.unneeded();
                drop(journal);
                drop(unneeded);
                return received;
            }
            journal.set_asleep(&self.filled, true);
            let waited = self.filled.wait_until(&mut journal, deadline);
            journal.set_asleep(&self.filled, false);
            if waited.timed_out() {
                return journal.take(&self.filled);
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut journal = self.journal.lock();
        let followers = &mut journal.followers;
        followers.retain(|follower| !Arc::ptr_eq(&follower.filled, &self.filled));
        let mut open = Vec::new();
        if followers.is_empty() {
            mem::swap(&mut open, &mut journal.open);
        }
        let unneeded = journal.unneeded();
        drop(journal);
        drop((unneeded, open));
    }
}

#[cfg(test)]
mod tests;
