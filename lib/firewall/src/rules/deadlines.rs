//! When claims end: a queue by deadline, so that rules are never scanned.
//!
//! Entries are not taken out when a claim is renewed or removed; such an entry finds no claim with its deadline when
//! it comes up. The owner counts them, and has the queue swept when they are the most of it.

use std::{cmp::Reverse, collections::BinaryHeap};

use couic_common::{Cidr, Policy, RuleKey, V4Net, V6Net};

/// Deadlines of claims, by family: an IPv4 one takes 24 bytes, an IPv6 one 40.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    v4: BinaryHeap<Reverse<(u64, V4Net, Policy)>>,
    v6: BinaryHeap<Reverse<(u64, V6Net, Policy)>>,
    stale: usize,
}

impl Deadlines {
    /// Remembers that a claim on this rule ends at `at`, Unix seconds. 0 is never, and not remembered.
    pub(super) fn push(&mut self, at: u64, key: RuleKey) {
        if at == 0 {
            return;
        }
        match key.cidr {
            Cidr::V4(net) => self.v4.push(Reverse((at, net, key.policy))),
            Cidr::V6(net) => self.v6.push(Reverse((at, net, key.policy))),
        }
    }

    /// The next rule with a deadline that is not after `now`.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<(u64, RuleKey)> {
        let is_due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        if is_due(self.v4.peek().map(|Reverse((at, ..))| *at)) {
            let Reverse((at, net, policy)) = self.v4.pop()?;
            return Some((at, RuleKey::new(policy, Cidr::V4(net))));
        }
        if is_due(self.v6.peek().map(|Reverse((at, ..))| *at)) {
            let Reverse((at, net, policy)) = self.v6.pop()?;
            return Some((at, RuleKey::new(policy, Cidr::V6(net))));
        }
        None
    }

    /// A popped entry had no claim behind it any more.
    pub(super) fn popped_stale(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }

    /// A claim with a deadline was renewed or removed: its entry stays behind. True when it is time to sweep.
    pub(super) fn left_behind(&mut self, at: u64) -> bool {
        self.stale += usize::from(at != 0);
        self.stale > 1024 && self.stale > self.len() / 2
    }

    /// Keeps the entries that `is_live` knows.
    pub(super) fn sweep(&mut self, is_live: impl Fn(u64, RuleKey) -> bool) {
        let v4 = |net, policy| RuleKey::new(policy, Cidr::V4(net));
        let v6 = |net, policy| RuleKey::new(policy, Cidr::V6(net));
        self.v4
            .retain(|Reverse((at, net, policy))| is_live(*at, v4(*net, *policy)));
        self.v6
            .retain(|Reverse((at, net, policy))| is_live(*at, v6(*net, *policy)));
        self.v4.shrink_to_fit();
        self.v6.shrink_to_fit();
        self.stale = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_up_in_order_and_not_early() {
        let mut queue = Deadlines::default();
        let four = RuleKey::new(Policy::Drop, "10.0.0.0/8".parse().unwrap());
        let six = RuleKey::new(Policy::Ignore, "2001:db8::/32".parse().unwrap());
        queue.push(20, four);
        queue.push(10, six);
        queue.push(0, six);
        assert_eq!(queue.pop_due(9), None);
        assert_eq!(queue.pop_due(10), Some((10, six)));
        assert_eq!(queue.pop_due(19), None);
        assert_eq!(queue.pop_due(u64::MAX), Some((20, four)));
        assert_eq!(queue.pop_due(u64::MAX), None);
    }

    #[test]
    fn sweeping_bounds_what_is_left_behind() {
        let mut queue = Deadlines::default();
        let four = RuleKey::new(Policy::Drop, "10.0.0.0/8".parse().unwrap());
        let mut live = 0;
        for at in 1..10_000 {
            queue.push(at, four);
            if live != 0 && queue.left_behind(live) {
                queue.sweep(|deadline, _| deadline == at);
            }
            live = at;
            assert!(queue.len() <= 2050, "{} entries for one claim", queue.len());
        }
        queue.push(5, four);
        assert_eq!(queue.pop_due(6), Some((5, four)));
    }
}
