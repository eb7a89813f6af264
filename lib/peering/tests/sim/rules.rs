//! Rules of the simulated nodes: written by the test, and compared between nodes.

use std::{collections::BTreeMap, net::Ipv4Addr};

use couic_common::{Cidr, Policy, Reason, RuleKey, Tag};
use couic_peering::{NEVER, Offer, PeerId, Record, RecordState, RegisterId, Stamp};

use super::{Node, World};

/// The registers in force on a node: stamp, tag and reason, and expiration in true time.
pub(crate) type Rules = BTreeMap<RegisterId, (Stamp, (Option<Tag>, Option<Reason>), u64)>;

/// A write, as recorded by the test.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) id: RegisterId,
    pub(crate) stamp: Stamp,
    /// Whether it ended the rule for all.
    pub(crate) revoked: bool,
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

    /// Deletes a node's own rule, if there is one.
    pub(crate) fn delete(&mut self, node: usize, policy: Policy, n: u32) -> bool {
        let moment = self.moment(node);
        let slot = self.nodes[node].replica.own(RuleKey::new(policy, cidr(n)));
        let live = slot.is_some_and(|slot| slot.is_live(moment));
        if live {
            self.write(node, policy, n, RecordState::Deleted, 0);
        }
        live
    }

    /// Ends a rule for all, if there is one.
    pub(crate) fn revoke(&mut self, node: usize, policy: Policy, n: u32) -> bool {
        let moment = self.moment(node);
        let mut all = self.nodes[node].replica.of(RuleKey::new(policy, cidr(n)));
        let live = all.any(|(_, slot)| slot.is_live(moment));
        drop(all);
        if live {
            let key = RuleKey::new(policy, cidr(n));
            self.nodes[node].replica.revoke(key, moment);
            self.wrote(node, key, true, 0);
        }
        live
    }

    fn write(&mut self, node: usize, policy: Policy, n: u32, state: RecordState, until: u64) {
        let (moment, key) = (self.moment(node), RuleKey::new(policy, cidr(n)));
        let replica = &mut self.nodes[node].replica;
        let reason = Reason::of(["", "sshd: 5 failures", "by hand"][n as usize % 3]);
        let reason = reason.filter(|_| until != 0);
        replica.write_because(key, (state, reason.as_ref()), PeerId::SELF, moment);
        self.wrote(node, key, false, until);
    }

    fn wrote(&mut self, node: usize, key: RuleKey, revoked: bool, until: u64) {
        let (moment, deleted) = (self.moment(node), until == 0);
        let there = &mut self.nodes[node];
        let id = there.replica.own_id(key);
        let stamp = there.replica.get(id).unwrap().record.stamp;
        for peer in &mut there.links {
            peer.link.changed(id, moment);
        }
        let epoch = there.epoch;
        self.written.push(Written {
            id,
            stamp,
            revoked,
            deleted,
            until,
            node,
            epoch,
        });
        self.wake_all(node);
    }

    /// A node says to another what nobody has written.
    pub(crate) fn forge(&mut self, (from, to): (usize, usize), key: RuleKey, record: Record) {
        let (peer, cidr) = (self.nodes[to].peers[from], key.cidr);
        let shift = 0;
        let offer = Offer {
            cidr,
            record,
            shift,
            ended: false,
            heeded: false,
            reason: None,
        };
        self.take(to, peer, key.policy, &[offer]);
    }

    /// A node forgets a peer.
    pub(crate) fn forget(&mut self, node: usize, peer: usize) {
        let moment = self.moment(node);
        let there = &mut self.nodes[node];
        let peer = there.peers[peer];
        there.replica.distrust(peer);
        let forgotten = there.replica.forget_peer(Policy::Drop, peer, (0, u16::MAX));
        there.replica.unbind(peer);
        for id in forgotten.into_iter().chain(there.replica.drain_ended()) {
            for link in &mut there.links {
                link.link.changed(id, moment);
            }
        }
        self.wake_all(node);
    }

    /// Whether all nodes hold the same registers.
    pub(crate) fn is_equal(&self) -> bool {
        let but = self.hostile;
        let roots = |node: &Node| Policy::ALL.map(|p| node.replica.tree(p).root());
        let honest = self.nodes.iter().enumerate();
        let honest = honest.filter(|(index, _)| Some(*index) != but);
        let mut honest = honest.map(|(_, node)| roots(node));
        let first = honest.next();
        honest.all(|root| Some(root) == first)
    }

    /// The registers in force on a node: stamp, tag, and expiration in true time.
    pub(crate) fn live(&self, node: usize) -> Rules {
        let moment = self.moment(node);
        let there = &self.nodes[node];
        let mut all = BTreeMap::new();
        for policy in Policy::ALL {
            for (_, id, slot) in there.replica.in_leaves(policy, (0, u16::MAX)) {
                if let Some(until) = slot.until().filter(|_| slot.is_live(moment)) {
                    let until = match until {
                        NEVER => NEVER,
                        until => until.saturating_add_signed(-there.skew),
                    };
                    let why = (slot.tag().cloned(), there.replica.reason(slot).cloned());
                    all.insert(id, (slot.record.stamp, why, until));
                }
            }
        }
        all
    }
}
