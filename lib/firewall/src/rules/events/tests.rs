//! Order, bounds, and wakeups of all subscribers.

use couic_common::{Entry, Policy};
use proptest::prelude::*;

use super::*;
use crate::rules::{Actor, EventKind, Origin, Owner};

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
            reason: None,
            owners: Vec::new(),
        },
        former_tag: None,
        origin: Origin {
            actor: Actor::Expiry,
            metadata: None,
        },
        owner: Owner::Api,
        request: None,
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
fn a_position_is_known_without_events() {
    let mut bus = EventBus::default();
    let subscriber = bus.subscribe(2);
    (0..3).for_each(|_| bus.publish(event));
    assert_eq!(subscriber.last(), 3);
    let blocks = subscriber.recv_timeout(Duration::ZERO).events.into_blocks();
    // Whole, also what was missed.
    let kept: Vec<u64> = blocks
        .iter()
        .flat_map(|b| b.iter().map(|e| e.seq))
        .collect();
    assert_eq!(kept, [1, 2, 3]);
    assert_eq!(subscriber.last(), 3);
}

#[test]
fn a_dropped_subscription_costs_nothing() {
    let mut bus = EventBus::default();
    drop(bus.subscribe(2));
    bus.publish(event);
    assert!(bus.stream.lock().subscribers.is_empty());
    bus.publish(|_| unreachable!("there is no subscriber"));
}

#[test]
fn a_waiting_follower_is_woken() {
    let mut bus = EventBus::default();
    let subscriber = bus.subscribe(2);
    let waiter =
        std::thread::spawn(move || numbers(&subscriber.recv_timeout(Duration::from_secs(30))));
    bus.publish(event);
    assert_eq!(waiter.join().unwrap(), [1]);
}

#[test]
fn nothing_is_kept_that_nobody_is_to_get() {
    let mut bus = EventBus::default();
    let (never_asks, asks) = (bus.subscribe(100), bus.subscribe(1 << 20));
    for _ in 0..50 {
        (0..BLOCK).for_each(|_| bus.publish(event));
        assert_eq!(
            asks.recv_timeout(Duration::ZERO).events.iter().count(),
            BLOCK
        );
        let kept: usize = bus
            .stream
            .lock()
            .sealed
            .iter()
            .map(|block| block.len())
            .sum();
        assert!(kept <= 100 + BLOCK, "{kept}");
    }
    drop(never_asks);
    assert!(bus.stream.lock().sealed.is_empty());
}

/// Wakeups and timeouts in all orders: a sleeping subscriber receives the next event.
#[test]
fn all_subscribers_get_all_events_while_they_sleep_and_wake() {
    const COUNT: u64 = 50_000;
    let mut bus = EventBus::default();
    let subscribers = [0, 0, 1_000].map(|micros| (bus.subscribe(1 << 20), micros));
    let threads = subscribers.map(|(subscriber, micros)| {
        std::thread::spawn(move || {
            let wait = if micros == 0 {
                Duration::from_secs(60)
            } else {
                Duration::from_micros(micros)
            };
            let (mut seen, begun) = (Vec::new(), Instant::now());
            while seen.last() != Some(&COUNT) {
                assert!(
                    begun.elapsed() < Duration::from_secs(60),
                    "{} events",
                    seen.len()
                );
                seen.extend(numbers(&subscriber.recv_timeout(wait)));
            }
            seen
        })
    });
    (0..COUNT).for_each(|_| bus.publish(event));
    for thread in threads {
        assert!(thread.join().unwrap().into_iter().eq(1..=COUNT));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Follow(usize),
    Take(usize),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..200_usize).prop_map(Step::Publish),
        (1..150_usize).prop_map(Step::Follow),
        any::<usize>().prop_map(Step::Take),
        any::<usize>().prop_map(Step::Leave),
    ]
}

proptest! {
    /// Against a queue for each subscriber.
    #[test]
    fn everybody_gets_what_a_queue_of_his_own_would_hold(steps in prop::collection::vec(step(), 1..60)) {
        let mut bus = EventBus::default();
        let mut subscribers: Vec<(Subscription, usize, Vec<u64>)> = Vec::new();
        let mut last = 0;
        for step in steps {
            let count = subscribers.len().max(1);
            match step {
                Step::Publish(events) => for _ in 0..events {
                    bus.publish(event);
                    last += 1;
                    subscribers.iter_mut().for_each(|(.., queue)| queue.push(last));
                },
                Step::Follow(capacity) => subscribers.push((bus.subscribe(capacity), capacity, Vec::new())),
                Step::Take(which) => if let Some((subscriber, capacity, queue)) = subscribers.get_mut(which % count) {
                    let missed = queue.len().saturating_sub(*capacity);
                    let received = subscriber.recv_timeout(Duration::ZERO);
                    prop_assert_eq!(received.missed, missed as u64);
                    prop_assert_eq!(numbers(&received), queue.split_off(missed));
                    queue.clear();
                },
                Step::Leave(which) => if !subscribers.is_empty() {
                    subscribers.swap_remove(which % count);
                },
            }
        }
    }
}
