//! The send queue of a peer. It holds keys of registers and not their content, so that only the latest state of a CIDR
//! is sent, however often it changed.

use std::collections::{HashSet, VecDeque};

use couic_common::Cidr;

/// A register of one policy: its network, and its author.
pub(crate) type Changed = (Cidr, u32);

/// Changed registers of one policy, in the order of their first unsent change.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    order: VecDeque<Changed>,
    waiting: HashSet<Changed>,
    capacity: usize,
    /// Monotonic time (ms) since which the queue is not empty.
    since: Option<u64>,
}

impl Outbox {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            order: VecDeque::new(),
            waiting: HashSet::new(),
            capacity: capacity.max(1),
            since: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Monotonic time (ms) since which the queue is not empty.
    pub(crate) fn since(&self) -> Option<u64> {
        self.since
    }

    /// Queues a change. False on overflow: the queue is then cleared, and digests must be compared.
    #[must_use]
    pub(crate) fn push(&mut self, one: Changed, mono: u64) -> bool {
        if self.waiting.contains(&one) {
            return true;
        }
        if self.order.len() >= self.capacity {
            *self = Self::new(self.capacity);
            return false;
        }
        self.waiting.insert(one);
        self.order.push_back(one);
        self.since.get_or_insert(mono);
        true
    }

    /// Removes and returns the next entries.
    pub(crate) fn drain(&mut self, most: usize) -> Vec<Changed> {
        let most = most.min(self.order.len());
        let taken: Vec<Changed> = self.order.drain(..most).collect();
        for one in &taken {
            self.waiting.remove(one);
        }
        if self.order.is_empty() {
            self.since = None;
            // Release the memory of a burst.
            self.order.shrink_to(1024);
            self.waiting.shrink_to(1024);
        }
        taken
    }

    /// Queues unsent entries again. False on overflow, as for [`Outbox::push`].
    #[must_use]
    pub(crate) fn put_back(&mut self, all: Vec<Changed>, mono: u64) -> bool {
        all.into_iter().all(|one| self.push(one, mono))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn cidr(n: u32) -> Changed {
        (Cidr::host(Ipv4Addr::from_bits(n).into()), 7)
    }

    #[test]
    fn a_cidr_is_queued_once_in_the_order_of_its_first_change() {
        let mut outbox = Outbox::new(10);
        for n in [3, 1, 3, 2, 1] {
            assert!(outbox.push(cidr(n), u64::from(n)));
        }
        assert_eq!((outbox.len(), outbox.since()), (3, Some(3)));
        assert_eq!(outbox.drain(2), [cidr(3), cidr(1)]);
        assert!(outbox.put_back(vec![cidr(3)], 9));
        assert_eq!(outbox.drain(9), [cidr(2), cidr(3)]);
        assert_eq!((outbox.is_empty(), outbox.since()), (true, None));
    }

    #[test]
    fn an_overflow_is_reported_and_clears_the_queue() {
        let mut outbox = Outbox::new(3);
        assert!((0..3).all(|n| outbox.push(cidr(n), 0)));
        assert!(outbox.push(cidr(2), 0), "it is queued already");
        assert!(!outbox.push(cidr(3), 0));
        assert!(outbox.is_empty());
        assert!(outbox.push(cidr(3), 5));
        assert_eq!(outbox.since(), Some(5));
    }
}
