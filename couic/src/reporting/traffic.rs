//! Measures what the firewall passes and drops, and reports it each minute.
//!
//! Differences of counters. A counter that is lower than before was reset: then it counts from zero. While receivers are
//! behind, nothing is queued, and the next report has the totals since the last one.

use std::{collections::BTreeMap, sync::Arc};

use couic_common::{Counter, Health, Policy, unix_seconds};
use couic_delivery::NotificationDispatcher;
use couic_firewall::rules::Firewall;
use couic_plugin_api::{
    InterfaceState, Kind, Notification, PacketCount, RuleCount, Severity, TagTraffic, Traffic,
};

/// Measures from one call to the next.
pub struct TrafficMeter {
    firewall: Arc<Firewall>,
    health: Arc<dyn Fn() -> Health + Send + Sync>,
    dispatcher: Arc<NotificationDispatcher>,
    /// This server's name.
    source: String,
    last: Reading,
}

/// The counters at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reading {
    /// Unix seconds.
    at: u64,
    passed: Counter,
    dropped: [Counter; 2],
    tags: [(Policy, BTreeMap<String, Counter>); 2],
}

impl TrafficMeter {
    /// Starts to measure now.
    pub(super) fn new(
        firewall: Arc<Firewall>,
        health: Arc<dyn Fn() -> Health + Send + Sync>,
        dispatcher: Arc<NotificationDispatcher>,
        source: String,
    ) -> Self {
        Self {
            last: Reading::of(&firewall),
            firewall,
            health,
            dispatcher,
            source,
        }
    }

    /// Queues a report of the time since the last one, unless receivers are behind.
    pub fn report(&mut self) {
        if !self.dispatcher.has_room_for_traffic() {
            tracing::debug!("receivers are behind: traffic is summed up until they are not");
            return;
        }
        let now = Reading::of(&self.firewall);
        if now.at == self.last.at {
            // An interval of no length.
            return;
        }
        let traffic = self.complete(now.since(&self.last));
        let kind = Kind::Traffic(traffic);
        let notification = Notification::new(kind, Severity::Green, self.source.clone());
        match self.dispatcher.enqueue(&notification) {
            Ok(()) => self.last = now,
            Err(error) => tracing::warn!("traffic cannot be queued, and is summed up: {error}"),
        }
    }

    /// Adds the present state.
    fn complete(&self, traffic: Traffic) -> Traffic {
        let health = (self.health)();
        let usage = self.firewall.usage().into_iter();
        let interfaces = health.interfaces.into_iter();
        Traffic {
            rules: usage
                .map(|usage| RuleCount {
                    policy: usage.policy,
                    family: if usage.family == "IPv6" { 6 } else { 4 },
                    rules: usage.rules as u64,
                    limit: usage.limit as u64,
                })
                .collect(),
            interfaces: interfaces
                .map(|interface| InterfaceState {
                    name: interface.name,
                    attached: interface.attached,
                })
                .collect(),
            health: health.status.as_str().to_owned(),
            version: health.version,
            ..traffic
        }
    }
}

impl Reading {
    fn of(firewall: &Firewall) -> Self {
        let xdp = firewall.stats().xdp;
        let tags = |policy| (policy, firewall.tag_stats(policy));
        Self {
            at: unix_seconds(),
            passed: xdp.xdp_pass,
            dropped: [xdp.xdp_drop, xdp.xdp_aborted],
            tags: [tags(Policy::Drop), tags(Policy::Ignore)],
        }
    }

    /// What was counted since an earlier reading.
    fn since(&self, last: &Self) -> Traffic {
        let mut traffic = Traffic {
            from: last.at.min(self.at),
            until: self.at,
            passed: difference(self.passed, last.passed),
            ..Traffic::default()
        };
        for (now, last) in self.dropped.into_iter().zip(last.dropped) {
            traffic.dropped.add(difference(now, last));
        }
        for ((policy, now), (_, last)) in self.tags.iter().zip(&last.tags) {
            for (tag, counter) in now {
                let last = last.get(tag).copied().unwrap_or_default();
                traffic.tags.push(TagTraffic {
                    policy: *policy,
                    tag: tag.clone(),
                    count: difference(*counter, last),
                });
            }
        }
        traffic.limit_tags();
        traffic
    }
}

fn difference(now: Counter, last: Counter) -> PacketCount {
    let is_reset = now.rx_packets < last.rx_packets || now.rx_bytes < last.rx_bytes;
    let last = if is_reset { Counter::default() } else { last };
    PacketCount {
        packets: now.rx_packets - last.rx_packets,
        bytes: now.rx_bytes - last.rx_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(packets: u64) -> Counter {
        Counter {
            rx_packets: packets,
            rx_bytes: packets * 100,
        }
    }

    fn reading(at: u64, dropped: u64, tags: &[(&str, u64)]) -> Reading {
        let tags = tags.iter().map(|(tag, n)| ((*tag).to_owned(), counter(*n)));
        Reading {
            at,
            passed: counter(2 * dropped),
            dropped: [counter(dropped), counter(0)],
            tags: [
                (Policy::Drop, tags.collect()),
                (Policy::Ignore, BTreeMap::new()),
            ],
        }
    }

    #[test]
    fn intervals_are_differences_also_when_counters_start_anew() {
        let first = reading(100, 10, &[("ssh", 6), ("gone", 4)]);
        let second = reading(160, 15, &[("ssh", 9), ("new", 2)]);
        let traffic = second.since(&first);
        let count = |packets| PacketCount {
            packets,
            bytes: packets * 100,
        };
        assert_eq!((traffic.from, traffic.until), (100, 160));
        assert_eq!((traffic.passed, traffic.dropped), (count(10), count(5)));
        let tags: Vec<_> = traffic.tags.iter().map(|t| (&*t.tag, t.count)).collect();
        assert_eq!(tags, [("ssh", count(3)), ("new", count(2))]);

        let reset = reading(220, 4, &[("ssh", 1)]);
        let traffic = reset.since(&second);
        assert_eq!((traffic.passed, traffic.dropped), (count(8), count(4)));
        assert_eq!(traffic.tags[0].count, count(1));
        // A clock that was set back.
        assert_eq!(first.since(&reset).from, 100);
    }
}
