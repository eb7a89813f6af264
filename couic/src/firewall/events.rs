//! The one stream of rule changes, and its followers.
//!
//! The owner of the rules never waits for a follower: each has a bounded queue of its own, and what does not fit is
//! counted as missed. Everybody sees the same order.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::RuleEvent;

/// The publishing side, owned by the core.
#[derive(Debug, Default)]
pub(super) struct EventBus {
    followers: Vec<Weak<Queue>>,
    seq: u64,
}

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Arc<RuleEvent>>,
    missed: u64,
    waiting: bool,
}

/// A follower's end of the stream. Dropping it ends the following.
#[derive(Debug)]
pub struct Subscription(Arc<Queue>);

/// What a follower gets at a time.
#[derive(Debug, Default)]
pub struct Received {
    /// In the order in which they took effect. Empty where the time ran out.
    pub events: Vec<Arc<RuleEvent>>,
    /// How many events before these were lost because the follower was slow.
    pub missed: u64,
}

impl EventBus {
    pub(super) fn subscribe(&mut self, capacity: usize) -> Subscription {
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            filled: Condvar::new(),
            capacity: capacity.max(1),
        });
        self.followers.push(Arc::downgrade(&queue));
        Subscription(queue)
    }

    /// Hands an event to every follower. `make` gets the event's number, and runs only if somebody follows.
    pub(super) fn publish(&mut self, make: impl FnOnce(u64) -> RuleEvent) {
        self.seq += 1;
        if self.followers.is_empty() {
            return;
        }
        let event = Arc::new(make(self.seq));
        self.followers.retain(|follower| {
            let Some(queue) = follower.upgrade() else {
                return false;
            };
            queue.push(Arc::clone(&event));
            true
        });
    }
}

impl Queue {
    fn push(&self, event: Arc<RuleEvent>) {
        let mut state = self.state.lock();
        if state.events.len() >= self.capacity {
            // What is queued is what comes right after what was missed: the oldest goes.
            state.events.pop_front();
            state.missed += 1;
        }
        state.events.push_back(event);
        if state.waiting {
            state.waiting = false;
            drop(state);
            self.filled.notify_one();
        }
    }
}

impl Subscription {
    /// Takes all that is queued; waits up to `timeout` for the first event.
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Received {
        let mut state = self.0.state.lock();
        if state.events.is_empty() {
            state.waiting = true;
            self.0.filled.wait_for(&mut state, timeout);
            state.waiting = false;
        }
        Received {
            events: state.events.drain(..).collect(),
            missed: std::mem::take(&mut state.missed),
        }
    }
}

#[cfg(test)]
mod tests {
    use couic_common::{Entry, Policy};

    use super::*;
    use crate::firewall::{Actor, EventKind, Origin};

    fn event(seq: u64) -> RuleEvent {
        RuleEvent {
            seq,
            at: 0,
            kind: EventKind::Added,
            policy: Policy::Drop,
            entry: Entry {
                creation: 0,
                cidr: "10.0.0.0/8".parse().unwrap(),
                tag: None,
                expiration: 0,
                hits: None,
                last_seen: None,
            },
            origin: Origin {
                actor: Actor::Expiry,
                metadata: None,
            },
        }
    }

    fn numbers(received: &Received) -> Vec<u64> {
        received.events.iter().map(|e| e.seq).collect()
    }

    #[test]
    fn a_slow_follower_misses_the_oldest_and_is_told() {
        let mut bus = EventBus::default();
        let (slow, fast) = (bus.subscribe(2), bus.subscribe(10));
        for _ in 0..5 {
            bus.publish(event);
        }
        let received = slow.recv_timeout(Duration::ZERO);
        assert_eq!((numbers(&received), received.missed), (vec![4, 5], 3));
        let received = fast.recv_timeout(Duration::ZERO);
        assert_eq!(
            (numbers(&received), received.missed),
            (vec![1, 2, 3, 4, 5], 0)
        );
        assert!(slow.recv_timeout(Duration::ZERO).events.is_empty());
    }

    #[test]
    fn who_left_costs_nothing() {
        let mut bus = EventBus::default();
        drop(bus.subscribe(2));
        bus.publish(event);
        assert!(bus.followers.is_empty());
        bus.publish(|_| unreachable!("nobody follows"));
    }

    #[test]
    fn a_waiting_follower_is_woken() {
        let mut bus = EventBus::default();
        let follower = bus.subscribe(2);
        let waiter =
            std::thread::spawn(move || numbers(&follower.recv_timeout(Duration::from_secs(30))));
        bus.publish(event);
        assert_eq!(waiter.join().unwrap(), [1]);
    }
}
