//! The one stream of rule changes, and its subscribers.
//!
//! The owner of the rules never waits for a subscriber, and hardly pays for one: a change is written once, into a block
//! in memory, for any number of subscribers. Subscribers take whole blocks and share them, so all of their work on
//! events, down to freeing them, happens off the lock and on their own threads. Each has a bound of its own; events
//! beyond that are counted as missed. All subscribers see the same order.

use std::{
    collections::VecDeque,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::RuleEvent;

/// Events of a full block. Subscribers hold and free memory in these units.
const BLOCK: usize = 64;

/// The publishing side, owned by the core.
#[derive(Debug, Default)]
pub(super) struct EventBus {
    stream: Arc<Mutex<Stream>>,
    seq: u64,
}

/// Events that were not received by all subscribers. While there is a subscriber, numbers have no gaps, so that the
/// number of an event gives its position.
#[derive(Debug, Default)]
struct Stream {
    sealed: VecDeque<Block>,
    open: Vec<RuleEvent>,
    /// The number of the last event.
    last: u64,
    subscribers: Vec<Subscriber>,
    /// Whether one of them sleeps.
    asleep: bool,
}

/// Events in a row, at least one, that are complete. The vector is never moved again.
pub type Block = Arc<Vec<RuleEvent>>;

#[derive(Debug)]
struct Subscriber {
    /// The number of the event that it gets next.
    next: u64,
    capacity: u64,
    asleep: bool,
    filled: Arc<Condvar>,
}

/// A subscriber's end of the stream. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    stream: Arc<Mutex<Stream>>,
    /// Also identifies this subscriber.
    filled: Arc<Condvar>,
}

/// One receipt of a subscriber.
#[derive(Debug, Default)]
pub struct Received {
    /// In the order in which they took effect. Empty after a timeout.
    pub events: Events,
    /// How many events before these were lost because the subscriber was slow.
    pub missed: u64,
}

/// Some events in a row, shared with other subscribers.
#[derive(Debug, Default)]
pub struct Events {
    blocks: Vec<Block>,
    /// Events of the first block that this subscriber had before, or missed.
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

    /// The memory that they are in, to keep it. The first may begin with events that were counted as missed.
    #[must_use]
    pub fn into_blocks(self) -> Vec<Block> {
        self.blocks
    }
}

impl EventBus {
    pub(super) fn subscribe(&mut self, capacity: usize) -> Subscription {
        let filled = Arc::<Condvar>::default();
        self.stream.lock().subscribers.push(Subscriber {
            next: self.seq + 1,
            capacity: capacity.max(1) as u64,
            asleep: false,
            filled: Arc::clone(&filled),
        });
        Subscription {
            stream: Arc::clone(&self.stream),
            filled,
        }
    }

    /// Publishes an event. `make` gets the event's number, and runs only if there is a subscriber.
    pub(super) fn publish(&mut self, make: impl FnOnce(u64) -> RuleEvent) {
        self.seq += 1;
        let mut stream = self.stream.lock();
        stream.last = self.seq;
        if stream.subscribers.is_empty() {
            return;
        }
        stream.open.push(make(self.seq));
        if stream.open.len() >= BLOCK {
            stream.seal();
            stream.open.reserve_exact(BLOCK);
            drop(stream.unneeded());
        }
        if stream.asleep {
            stream.wake();
        }
    }
}

impl Stream {
    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.sealed.push_back(Arc::new(mem::take(&mut self.open)));
        }
    }

    fn wake(&mut self) {
        self.asleep = false;
        for subscriber in &mut self.subscribers {
            if mem::take(&mut subscriber.asleep) {
                subscriber.filled.notify_one();
            }
        }
    }

    fn set_asleep(&mut self, filled: &Arc<Condvar>, asleep: bool) {
        if let Some(subscriber) = self.subscriber(filled) {
            subscriber.asleep = asleep;
        }
        self.asleep = self.subscribers.iter().any(|subscriber| subscriber.asleep);
    }

    /// Removes the blocks that no subscriber needs any more. The caller frees them, off the lock.
    fn unneeded(&mut self) -> Vec<Block> {
        let wanted = |subscriber: &Subscriber| subscriber.first(self.last);
        let first = self.subscribers.iter().map(wanted).min();
        let first = first.unwrap_or(u64::MAX);
        let past = |block: &&Block| block.last().is_none_or(|event| event.seq < first);
        let count = self.sealed.iter().take_while(past).count();
        self.sealed.drain(..count).collect()
    }

    fn subscriber(&mut self, filled: &Arc<Condvar>) -> Option<&mut Subscriber> {
        let mut all = self.subscribers.iter_mut();
        all.find(|subscriber| Arc::ptr_eq(&subscriber.filled, filled))
    }

    /// Events that a subscriber has not seen yet, up to its capacity.
    fn receive(&mut self, filled: &Arc<Condvar>) -> Received {
        let last = self.last;
        let Some(subscriber) = self.subscriber(filled) else {
            return Received::default();
        };
        let first = subscriber.first(last);
        let missed = first - subscriber.next;
        subscriber.next = last + 1;
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

impl Subscriber {
    /// The number of the first event that it gets if the last is this one: it misses the oldest.
    fn first(&self, last: u64) -> u64 {
        self.next.max((last + 1).saturating_sub(self.capacity))
    }
}

impl Subscription {
    /// The number of the last event, whether or not it was received.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.stream.lock().last
    }

    /// Takes all that is there; waits up to `timeout` for the first event.
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Received {
        let mut stream = self.stream.lock();
        let deadline = Instant::now() + timeout;
        loop {
            let received = stream.receive(&self.filled);
            if !received.events.is_empty() || timeout.is_zero() {
                let unneeded = stream.unneeded();
                drop(stream);
                drop(unneeded);
                return received;
            }
            stream.set_asleep(&self.filled, true);
            let waited = self.filled.wait_until(&mut stream, deadline);
            stream.set_asleep(&self.filled, false);
            if waited.timed_out() {
                return stream.receive(&self.filled);
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut stream = self.stream.lock();
        let subscribers = &mut stream.subscribers;
        subscribers.retain(|subscriber| !Arc::ptr_eq(&subscriber.filled, &self.filled));
        let mut open = Vec::new();
        if subscribers.is_empty() {
            mem::swap(&mut open, &mut stream.open);
        }
        let unneeded = stream.unneeded();
        drop(stream);
        drop((unneeded, open));
    }
}

#[cfg(test)]
mod tests;
