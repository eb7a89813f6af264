//! Rules of the simulated nodes: written by the test, and compared between nodes.

use std::{collections::BTreeMap, net::Ipv4Addr};

use couic_common::{Cidr, Policy, RuleKey, Tag};
use couic_peering::{NEVER, RecordState, Stamp};

use super::{Node, World};

/// The rules in force on a node: stamp, tag, and expiration in true time.
pub(crate) type Rules = BTreeMap<RuleKey, (Stamp, Option<Tag>, u64)>;

/// A write, as recorded by the test.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) key: RuleKey,
    pub(crate) stamp: Stamp,
    pub(crate) deleted: bool,
    /// Expiration of the rule in true time.
    pub(crate) until: u64,
    pub(crate) node: usize,
    pub(crate) epoch: u32,
}

pub(crate) fn cidr(n: u32) -> Cidr {
    Cidr::host(Ipv4Addr::from_bits(0x0a00_0000 + n).into())
}

impl World {
    /// Adds or renews a rule; `lasts` in ms, None = forever.
    pub(crate) fn add(&mut self, node: usize, policy: Policy, n: u32, lasts: Option<u64>) {
        let tag = Tag::parse(["", "a", "b"][self.chance.usize(..3)]).unwrap();
        let moment = self.moment(node);
        let until = lasts.map_or(NEVER, |ms| moment.wall + ms);
        let true_until = lasts.map_or(NEVER, |ms| self.now + ms);
        self.write(
            node,
            policy,
            n,
            RecordState::Live { tag, until },
            true_until,
        );
    }

    /// Deletes a rule, if it exists.
    pub(crate) fn delete(&mut self, node: usize, policy: Policy, n: u32) -> bool {
        let moment = self.moment(node);
        let slot = self.nodes[node].replica.get(RuleKey::new(policy, cidr(n)));
        let live = slot.is_some_and(|slot| slot.record.is_live(moment.wall));
        if live {
            self.write(node, policy, n, RecordState::Deleted, 0);
        }
        live
    }

    fn write(&mut self, node: usize, policy: Policy, n: u32, state: RecordState, until: u64) {
        let (moment, deleted) = (self.moment(node), state == RecordState::Deleted);
        let key = RuleKey::new(policy, cidr(n));
        let there = &mut self.nodes[node];
        there.replica.write(key, state, (), moment);
        let stamp = there.replica.get(key).unwrap().record.stamp;
        for peer in &mut there.links {
            peer.link.changed(key, moment);
        }
        let epoch = there.epoch;
        self.written.push(Written {
            key,
            stamp,
            deleted,
            until,
            node,
            epoch,
        });
        self.wake_all(node);
    }

    /// Whether all nodes hold the same registers.
    pub(crate) fn is_equal(&self) -> bool {
        let roots = |node: &Node| Policy::ALL.map(|p| node.replica.tree(p).root());
        let first = roots(&self.nodes[0]);
        self.nodes.iter().all(|node| roots(node) == first)
    }

    /// The rules in force on a node: stamp, tag, and expiration in true time.
    pub(crate) fn live(&self, node: usize) -> Rules {
        let moment = self.moment(node);
        let there = &self.nodes[node];
        let mut all = BTreeMap::new();
        for policy in Policy::ALL {
            for (_, cidr, slot) in there.replica.in_leaves(policy, (0, u16::MAX)) {
                if let RecordState::Live { tag, until } = &slot.record.state
                    && slot.record.is_live(moment.wall)
                {
                    let until = match *until {
                        NEVER => NEVER,
                        until => until.saturating_add_signed(-there.skew),
                    };
                    all.insert(
                        RuleKey::new(policy, cidr),
                        (slot.record.stamp, tag.clone(), until),
                    );
                }
            }
        }
        all
    }
}
