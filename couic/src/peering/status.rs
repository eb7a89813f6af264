//! The status of peers, as shown to operators, and the removal of one peer's rules.

use std::collections::HashMap;

use couic_common::{ClientName, PeerHealth, PeerInfo, PeerProblem, PeerState, Policy, RuleKey};
use couic_peering::{LinkState, Moment};

use super::{
    engine::Engine,
    state::{Peer, SharedRules, Traffic},
};
use couic_firewall::rules::{Actor, Claim, Owner};

/// A peer that has not answered for so long is a problem, in milliseconds. A restart is none.
const PATIENCE: u64 = 60_000;

/// How many rules are looked at before others get their turn.
const CHUNK: usize = 1_024;

fn problem((at, message): (u64, String)) -> PeerProblem {
    PeerProblem {
        at: at / 1_000,
        message,
    }
}

const fn state_of(state: LinkState) -> PeerState {
    match state {
        LinkState::Connecting => PeerState::Connecting,
        LinkState::Syncing => PeerState::Syncing,
        LinkState::InSync => PeerState::InSync,
        LinkState::Plain => PeerState::Plain,
        LinkState::Failing => PeerState::Failing,
    }
}

impl Engine {
    /// Every configured peer, and every other client that has sent something.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        let (now, state) = (self.now(), self.locked());
        let rules = state.rules_by_peer(now);
        let of = |name: &ClientName| rules.get(name).copied().unwrap_or(0);
        let configured = state.peers.iter().map(|peer| {
            let traffic = state.traffic.get(&peer.name);
            outbound(peer, traffic, of(&peer.name), now)
        });
        let mut all: Vec<PeerInfo> = configured.collect();
        let others = state.traffic.iter().filter(|(name, traffic)| {
            traffic.last > 0 && !state.peers.iter().any(|p| p.name == **name)
        });
        all.extend(others.map(|(name, traffic)| inbound(name, traffic, of(name))));
        all
    }

    /// Peers that have not answered for a minute.
    #[must_use]
    pub fn problems(&self) -> Vec<PeerHealth> {
        let (now, state) = (self.now(), self.locked());
        let late = |peer: &&Peer| {
            let since = peer.failing_since;
            since.is_some_and(|since| now.wall.saturating_sub(since) >= PATIENCE)
        };
        let health = |peer: &Peer| {
            let status = peer.link.status(now);
            PeerHealth {
                name: peer.name.clone(),
                since: status.last_answer / 1_000,
                problem: status.last_error.map(|(_, text)| text).unwrap_or_default(),
            }
        };
        state.peers.iter().filter(late).map(health).collect()
    }

    /// Removes every rule that came from a peer, here and, as a deletion, on all nodes. Rules that it only passed
    /// on, and this node or another peer wrote, stay as theirs. Returns how many were removed, None if no peer has this
    /// name.
    #[must_use]
    pub fn forget(&self, name: &ClientName, by: &ClientName) -> Option<u64> {
        let known = self.locked().traffic.contains_key(name);
        let actor = Actor::Client(by.clone());
        let mut removed = 0;
        for policy in Policy::ALL {
            let mut after = None;
            loop {
                let page = self.firewall.claims_page(policy, after, CHUNK);
                let Some((last, ..)) = page.last() else { break };
                after = Some(*last);
                let now = self.now();
                let mut state = self.locked();
                for (cidr, held, _) in page {
                    let gone = self.forget_one(
                        &mut state,
                        RuleKey::new(policy, cidr),
                        held,
                        name,
                        &actor,
                        now,
                    );
                    removed += u64::from(gone);
                }
            }
        }
        (known || removed > 0).then_some(removed)
    }

    /// True if the rule is gone.
    fn forget_one(
        &self,
        state: &mut SharedRules,
        key: RuleKey,
        held: Vec<Claim>,
        name: &ClientName,
        actor: &Actor,
        now: Moment,
    ) -> bool {
        let owner = Owner::Peer(name.clone());
        let Some(claim) = held.iter().find(|h| h.owner == owner).cloned() else {
            return false;
        };
        let writer = state.writer(key).filter(|writer| *writer != owner);
        let wanted = match &writer {
            Some(writer) => Some(Claim {
                owner: writer.clone(),
                ..claim
            }),
            None => held.iter().find(|h| **h != claim).cloned(),
        };
        let settled = self.replace(key, held, wanted, actor);
        if !settled.is_some_and(|s| s.is_done()) {
            return false;
        }
        if let (Some(writer), Some(local)) = (&writer, state.replica.local_mut(key)) {
            local.owner = writer.clone();
        }
        self.absorb(state, key, now);
        writer.is_none()
    }
}

impl SharedRules {
    /// The writer of a register, if it is this node or a known peer.
    fn writer(&self, key: RuleKey) -> Option<Owner> {
        let machine = self.replica.get(key)?.record.stamp.node.machine();
        if machine == self.replica.node().machine() {
            return Some(Owner::Api);
        }
        let mut all = self.traffic.iter();
        let (name, _) = all.find(|(_, traffic)| traffic.machines.contains(&machine))?;
        Some(Owner::Peer(name.clone()))
    }

    fn rules_by_peer(&self, now: Moment) -> HashMap<ClientName, u64> {
        let mut rules = HashMap::new();
        for policy in Policy::ALL {
            for (.., slot) in self.replica.in_leaves(policy, (0, u16::MAX)) {
                if let Owner::Peer(name) = &slot.local.owner
                    && slot.local.in_force
                    && slot.record.is_live(now.wall)
                {
                    // Names are cloned once each.
                    match rules.get_mut(name) {
                        Some(count) => *count += 1,
                        None => {
                            rules.insert(name.clone(), 1);
                        }
                    }
                }
            }
        }
        rules
    }
}

fn outbound(peer: &Peer, traffic: Option<&Traffic>, rules: u64, now: Moment) -> PeerInfo {
    let status = peer.link.status(now);
    let ours = status.last_error;
    let theirs = traffic.and_then(|t| t.problem.clone());
    let last = ours.into_iter().chain(theirs).max_by_key(|(at, _)| *at);
    PeerInfo {
        name: peer.name.clone(),
        endpoint: Some(peer.endpoint.clone()),
        state: state_of(status.state),
        rules,
        queue: status.queue as u64,
        lag_ms: status.lag,
        differing: status.differing,
        refused_ranges: status.refused_ranges,
        sent: status.sent,
        refused: status.refused,
        received: traffic.map_or(0, |t| t.received),
        not_accepted: traffic.map_or(0, |t| t.not_accepted),
        clock_ahead_ms: status.gap,
        last_answer: status.last_answer / 1_000,
        last_equal: status.last_equal / 1_000,
        last_error: last.map(problem),
    }
}

fn inbound(name: &ClientName, traffic: &Traffic, rules: u64) -> PeerInfo {
    PeerInfo {
        name: name.clone(),
        endpoint: None,
        state: PeerState::Inbound,
        rules,
        queue: 0,
        lag_ms: 0,
        differing: 0,
        refused_ranges: 0,
        sent: 0,
        refused: 0,
        received: traffic.received,
        not_accepted: traffic.not_accepted,
        clock_ahead_ms: None,
        last_answer: traffic.last / 1_000,
        last_equal: 0,
        last_error: traffic.problem.clone().map(problem),
    }
}
