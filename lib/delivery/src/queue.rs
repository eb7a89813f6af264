//! The bounded queue of one notifier. Pure: no clock, no tasks, no disk.
//!
//! First in, first out. The head that is being delivered is separate: it can neither be dropped nor merged. A full
//! queue drops the least severe first, and of those the oldest; that may be the new item itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use couic_plugin_api::Severity;

/// Order, then sequence number.
pub(super) type Key = (u64, u64);

/// A queued notification.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) seq: u64,
    pub(super) order: u64,
    pub(super) severity: Severity,
    /// When it was accepted, in Unix seconds: its age counts from here.
    pub(super) queued: u64,
    /// How many of its reports are done.
    pub(super) done: u64,
    /// See `envelope.rs`.
    pub(super) payload: Arc<[u8]>,
}

impl Item {
    pub(super) fn key(&self) -> Key {
        (self.order, self.seq)
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: BTreeMap<Key, Item>,
    by_severity: BTreeMap<Severity, BTreeSet<Key>>,
    head: Option<Item>,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
}

impl Queue {
    pub(super) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self {
            max_events,
            max_bytes,
            ..Self::default()
        }
    }

    /// Queues the item, and returns those dropped for it.
    pub(super) fn push(&mut self, item: Item) -> Vec<Item> {
        self.insert(item);
        let mut dropped = Vec::new();
        while self.len() > self.max_events || self.bytes > self.max_bytes {
            let Some(key) = self.least() else { break };
            dropped.extend(self.remove(key));
        }
        dropped
    }

    /// Queues the item regardless of the bounds: for items from the disk, and notices about the queue itself.
    pub(super) fn insert(&mut self, item: Item) {
        let key = item.key();
        self.bytes += item.payload.len();
        self.by_severity
            .entry(item.severity)
            .or_default()
            .insert(key);
        self.items.insert(key, item);
    }

    /// The oldest of the least severe.
    fn least(&self) -> Option<Key> {
        self.by_severity
            .values()
            .find_map(|keys| keys.first())
            .copied()
    }

    /// Removes an item, unless it is the head.
    pub(super) fn remove(&mut self, key: Key) -> Option<Item> {
        let item = self.items.remove(&key)?;
        self.bytes -= item.payload.len();
        if let Some(keys) = self.by_severity.get_mut(&item.severity) {
            keys.remove(&key);
        }
        Some(item)
    }

    /// The item to deliver now. It stays the head until it is [finished](Self::finish).
    pub(super) fn head(&mut self) -> Option<&mut Item> {
        if self.head.is_none() {
            let key = *self.items.keys().next()?;
            let item = self.remove(key)?;
            self.bytes += item.payload.len();
            self.head = Some(item);
        }
        self.head.as_mut()
    }

    /// Removes the head.
    pub(super) fn finish(&mut self) -> Option<Item> {
        let item = self.head.take()?;
        self.bytes -= item.payload.len();
        Some(item)
    }

    /// The next items after `key`, without the head, in order.
    pub(super) fn after(&self, key: Key, count: usize) -> Vec<Item> {
        let range = (Bound::Excluded(key), Bound::Unbounded);
        self.items
            .range(range)
            .take(count)
            .map(|(_, item)| item.clone())
            .collect()
    }

    /// All items, the head included.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Item> {
        self.head.iter().chain(self.items.values())
    }

    /// The item that has waited longest.
    pub(super) fn oldest(&self) -> Option<&Item> {
        // Digests, replays and notices make queue order differ from age only slightly: search the front.
        let front = self.items.values().take(16);
        self.head.iter().chain(front).min_by_key(|item| item.queued)
    }

    /// Removes an item, head or not.
    pub(super) fn retire(&mut self, item: &Item) {
        if self.head.as_ref().is_some_and(|head| head.seq == item.seq) {
            self.finish();
        } else {
            self.remove(item.key());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len() + usize::from(self.head.is_some())
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Over 80 % of either bound.
    pub(super) fn is_pressed(&self) -> bool {
        5 * self.len() > 4 * self.max_events || 5 * self.bytes > 4 * self.max_bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEVERITIES: [Severity; 3] = [Severity::Green, Severity::Orange, Severity::Red];

    fn item(seq: u64, severity: usize, len: usize) -> Item {
        Item {
            seq,
            order: seq,
            severity: SEVERITIES[severity],
            queued: seq,
            done: 0,
            payload: Arc::from(vec![b'x'; len]),
        }
    }

    fn drain(queue: &mut Queue) -> Vec<u64> {
        let mut out = Vec::new();
        while queue.head().is_some() {
            out.extend(queue.finish().map(|item| item.seq));
        }
        out
    }

    #[test]
    fn least_severe_then_oldest_goes_first() {
        let mut queue = Queue::new(3, 1_000);
        for (seq, severity) in [(1, 2), (2, 0), (3, 1)] {
            assert!(queue.push(item(seq, severity, 1)).is_empty());
        }
        assert_eq!(queue.push(item(4, 0, 1))[0].seq, 2);
        assert_eq!(queue.push(item(5, 1, 1))[0].seq, 4);
        assert_eq!(queue.push(item(6, 0, 1))[0].seq, 6, "the new item itself");
        assert_eq!(drain(&mut queue), [1, 3, 5]);
    }

    #[test]
    fn the_head_is_held() {
        let mut queue = Queue::new(2, 1_000);
        queue.push(item(1, 0, 1));
        assert_eq!(queue.head().unwrap().seq, 1);
        queue.push(item(2, 2, 1));
        assert_eq!(queue.push(item(3, 2, 1))[0].seq, 2, "red, but not the head");
        assert_eq!(
            queue.after((0, 0), 9).len(),
            1,
            "the head is not among them"
        );
        assert_eq!(drain(&mut queue), [1, 3]);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn the_oldest_is_found_wherever_it_is() {
        let mut queue = Queue::new(9, 1_000);
        for (seq, queued) in [(1, 50), (2, 10), (3, 30)] {
            queue.push(Item {
                queued,
                ..item(seq, 0, 1)
            });
        }
        queue.head();
        let mut gone = Vec::new();
        while let Some(oldest) = queue.oldest().cloned() {
            queue.retire(&oldest);
            gone.push(oldest.seq);
        }
        assert_eq!(gone, [2, 3, 1]);
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }

    #[test]
    fn a_place_can_be_an_older_one() {
        let mut queue = Queue::new(9, 1_000);
        for seq in 1..=3 {
            queue.push(item(seq, 0, 1));
        }
        let digest = Item {
            order: 2,
            ..item(9, 0, 1)
        };
        queue.remove((2, 2));
        queue.push(digest);
        assert_eq!(drain(&mut queue), [1, 9, 3]);
    }

    proptest! {
        /// Against a linear search in a list.
        #[test]
        fn bounds_hold_and_order_stays(
            pushes in prop::collection::vec((0_usize..3, 0_usize..50), 1..80),
            max_events in 1_usize..20,
            max_bytes in 1_usize..400,
        ) {
            let mut queue = Queue::new(max_events, max_bytes);
            let mut list: Vec<Item> = Vec::new();
            for (seq, (severity, len)) in pushes.into_iter().enumerate() {
                let new = item(seq as u64 + 1, severity, len);
                list.push(new.clone());
                let mut expected = Vec::new();
                while list.len() > max_events || list.iter().map(|i| i.payload.len()).sum::<usize>() > max_bytes {
                    let least = list.iter().map(|i| i.severity).min().unwrap();
                    let at = list.iter().position(|i| i.severity == least).unwrap();
                    expected.push(list.remove(at).seq);
                }
                let dropped: Vec<_> = queue.push(new).iter().map(|i| i.seq).collect();
                prop_assert_eq!(dropped, expected);
                prop_assert_eq!(queue.bytes(), list.iter().map(|i| i.payload.len()).sum::<usize>());
                prop_assert_eq!(queue.len(), list.len());
            }
            let left: Vec<_> = list.iter().map(|i| i.seq).collect();
            prop_assert_eq!(drain(&mut queue), left);
        }
    }
}
