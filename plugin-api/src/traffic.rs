//! What a firewall passed and dropped.

use couic_common::Policy;
use serde::{Deserialize, Serialize};

/// Stands for the tags beyond [`Traffic::MAX_TAGS`]. No tag has such a name.
pub const OTHER_TAGS: &str = "(others)";

/// What a firewall passed and dropped in an interval, and its state at the end of it.
///
/// Differences of counters, so the intervals of one firewall add up. Unknown fields are ignored, missing ones are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Start of the interval, in Unix seconds.
    pub from: u64,
    /// End of the interval, in Unix seconds.
    pub until: u64,
    /// What was let through, including what `ignore` rules let through.
    pub passed: PacketCount,
    /// What was dropped, by rules and as malformed.
    pub dropped: PacketCount,
    /// What rules decided, by policy and tag: at most [`Traffic::MAX_TAGS`] and [`OTHER_TAGS`] of each policy, the most
    /// packets first. Tags without packets are left out.
    pub tags: Vec<TagTraffic>,
    /// The rules in force, by policy and family.
    pub rules: Vec<RuleCount>,
    /// The configured interfaces.
    pub interfaces: Vec<InterfaceState>,
    /// `ok`, `degraded` or `down`.
    pub health: String,
    /// The version of the daemon.
    pub version: String,
}

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketCount {
    /// Packets.
    pub packets: u64,
    /// Bytes, Ethernet header included.
    pub bytes: u64,
}

/// What the rules with a tag decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagTraffic {
    /// `drop`: the packets were dropped; `ignore`: they were let through.
    pub policy: Policy,
    /// The tag; `untagged` for rules without one.
    pub tag: String,
    /// The packets.
    #[serde(flatten)]
    pub count: PacketCount,
}

/// The rules in force of one policy and address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCount {
    /// The policy.
    pub policy: Policy,
    /// 4 or 6.
    pub family: u8,
    /// Rules in force.
    pub rules: u64,
    /// The most that fit.
    pub limit: u64,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceState {
    /// Its name.
    pub name: String,
    /// Whether packets that arrive on it are filtered.
    pub attached: bool,
}

impl PacketCount {
    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl Traffic {
    /// The most tags of a policy that are listed by name.
    pub const MAX_TAGS: usize = 100;

    /// Adds a later interval, whose state is taken over.
    pub fn merge(&mut self, later: Self) {
        self.passed.add(later.passed);
        self.dropped.add(later.dropped);
        for tag in later.tags {
            let same = |have: &&mut TagTraffic| have.policy == tag.policy && have.tag == tag.tag;
            match self.tags.iter_mut().find(same) {
                Some(have) => have.count.add(tag.count),
                None => self.tags.push(tag),
            }
        }
        self.limit_tags();
        self.until = later.until;
        self.rules = later.rules;
        self.interfaces = later.interfaces;
        self.health = later.health;
        self.version = later.version;
    }

    /// Sorts the tags, and sums those beyond [`Traffic::MAX_TAGS`] of a policy under [`OTHER_TAGS`].
    pub fn limit_tags(&mut self) {
        let mut tags = std::mem::take(&mut self.tags);
        tags.retain(|tag| tag.count.packets > 0);
        tags.sort_by(|a, b| {
            let by_packets = b.count.packets.cmp(&a.count.packets);
            by_packets.then_with(|| a.tag.cmp(&b.tag))
        });
        for policy in [Policy::Drop, Policy::Ignore] {
            let of = tags.iter().filter(|tag| tag.policy == policy);
            let (others, named): (Vec<_>, Vec<_>) = of.partition(|tag| tag.tag == OTHER_TAGS);
            let beyond = named.iter().skip(Self::MAX_TAGS);
            let mut rest = PacketCount::default();
            others
                .iter()
                .chain(beyond)
                .for_each(|tag| rest.add(tag.count));
            (self.tags).extend(named.into_iter().take(Self::MAX_TAGS).cloned());
            if rest.packets > 0 {
                self.tags.push(TagTraffic {
                    policy,
                    tag: OTHER_TAGS.to_owned(),
                    count: rest,
                });
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        let seconds = self.until.saturating_sub(self.from);
        format!(
            "{} packets passed and {} dropped in {seconds} s",
            self.passed.packets, self.dropped.packets
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(policy: Policy, tag: &str, packets: u64) -> TagTraffic {
        TagTraffic {
            policy,
            tag: tag.to_owned(),
            count: PacketCount {
                packets,
                bytes: packets * 60,
            },
        }
    }

    #[test]
    fn tags_beyond_the_limit_are_summed() {
        let many = (0..150).map(|n| tag(Policy::Drop, &format!("t{n}"), n));
        let mut traffic = Traffic {
            tags: many.collect(),
            ..Traffic::default()
        };
        traffic.tags.push(tag(Policy::Ignore, "t1", 7));
        traffic.limit_tags();
        assert_eq!(traffic.tags.len(), 102);
        assert_eq!(traffic.tags[0], tag(Policy::Drop, "t149", 149));
        // t1 to t49: t0 has no packets.
        assert_eq!(
            traffic.tags[100],
            tag(Policy::Drop, OTHER_TAGS, 49 * 50 / 2)
        );
        assert_eq!(traffic.tags[101], tag(Policy::Ignore, "t1", 7));
        let before = traffic.clone();
        traffic.limit_tags();
        assert_eq!(traffic, before);
    }

    #[test]
    fn merged_intervals_add_up_and_have_the_later_state() {
        let part = |from, health: &str, tags| Traffic {
            from,
            until: from + 60,
            dropped: PacketCount {
                packets: 3,
                bytes: 180,
            },
            tags,
            health: health.to_owned(),
            ..Traffic::default()
        };
        let mut all = part(
            0,
            "ok",
            vec![tag(Policy::Drop, "a", 2), tag(Policy::Drop, "b", 1)],
        );
        all.merge(part(60, "degraded", vec![tag(Policy::Drop, "b", 3)]));
        assert_eq!((all.from, all.until, all.dropped.packets), (0, 120, 6));
        assert_eq!(
            all.tags,
            [tag(Policy::Drop, "b", 4), tag(Policy::Drop, "a", 2)]
        );
        assert_eq!(all.health, "degraded");
    }
}
