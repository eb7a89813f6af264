//! The status of peers, as shown to operators, and the removal of one peer's rules.

use std::collections::HashMap;

use couic_common::{ClientName, PeerHealth, PeerInfo, PeerProblem, PeerState, Policy, RuleKey};
use couic_peering::{LinkState, Moment, PeerId};

use super::{
    engine::Engine,
    identity::MACHINE,
    state::{Peer, SharedRules, Traffic},
};
use couic_firewall::rules::{Actor, Claim, Owner};

/// A peer that has not answered for so long is a problem, in milliseconds. A restart is none.
const PATIENCE: u64 = 60_000;

/// How many rules are looked at before others get their turn.
const CHUNK: usize = 1_024;

/// How many leaves, for the same reason.
pub(super) const LEAVES: usize = 64;

/// For how long it is told that a peer spoke as another machine, in milliseconds: nodes speak every ten seconds.
const COPIED: u64 = 2 * 60_000;

/// For how long a share that was full is told, in milliseconds.
const FULL: u64 = 10 * 60_000;

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
        LinkState::NotEnabled => PeerState::NotEnabled,
    }
}

/// Phrased to follow the name of a peer.
pub(super) const fn what_fails(state: LinkState) -> &'static str {
    match state {
        LinkState::NotEnabled => "does not share rules",
        _ => "does not respond",
    }
}

impl Engine {
    /// Every configured peer, and every other client that has sent something.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        let (now, state) = (self.now(), self.locked());
        let rules = state.rules_by_peer(now);
        let of = |name: &ClientName| {
            let id = state.id_of(name);
            id.and_then(|id| rules.get(&id).copied()).unwrap_or(0)
        };
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

    /// Peers that have not answered for a minute, and those whose share is full.
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
                problem: format!(
                    "{}: {}",
                    what_fails(status.state),
                    status.last_error.map(|(_, text)| text).unwrap_or_default()
                ),
            }
        };
        let mut all: Vec<_> = state.peers.iter().filter(late).map(health).collect();
        all.extend(state.traffic.iter().filter_map(|(name, traffic)| {
            let full = || state.full(traffic, now).map(|(_, problem)| problem);
            let problem = copied(traffic, now).or_else(full)?;
            Some(PeerHealth {
                name: name.clone(),
                since: traffic.last / 1_000,
                problem,
            })
        }));
        all
    }

    /// Removes every rule, register and tombstone that came from a peer, on this node. What it wrote or passed on stays
    /// away until it is written anew. Returns how many rules were removed, None if no peer has this name.
    #[must_use]
    pub fn forget(&self, name: &ClientName, by: &ClientName) -> Option<u64> {
        let known = {
            let mut state = self.locked();
            let known = state.id_of(name);
            known.inspect(|peer| state.replica.distrust(*peer))
        };
        let actor = Actor::Client(by.clone());
        let mut removed = 0;
        for (policy, peer) in Policy::ALL.into_iter().flat_map(|p| known.map(|k| (p, k))) {
            for first in (0..=u16::MAX).step_by(LEAVES) {
                let leaves = (first, first | (LEAVES as u16 - 1));
                let mut state = self.locked();
                let now = self.now();
                for id in state.replica.forget_peer(policy, peer, leaves) {
                    let standing = state.standing(id.key);
                    let from = state.replica.get(id).map(|slot| slot.from);
                    let mut its = standing.iter().filter(|(peer, _)| Some(*peer) == from);
                    removed += u64::from(its.any(|(_, had)| had.is_some()));
                    self.settle(&mut state, id.key, standing, &actor, now);
                    // Those that have it from this node only end it, too.
                    state.tell(id, now);
                }
            }
        }
        // What it sent as plain jobs, which this node passed on: a deletion there, too.
        for policy in Policy::ALL {
            let mut after = None;
            loop {
                let page = self.firewall.claims_page(policy, after, CHUNK);
                let Some((last, ..)) = page.last() else { break };
                after = Some(*last);
                let (now, mut state) = (self.now(), self.locked());
                for (cidr, ..) in page {
                    let key = RuleKey::new(policy, cidr);
                    if self.remove_claim(key, name, &actor) {
                        removed += 1;
                        self.absorb(&mut state, key, now);
                    }
                }
            }
        }
        if let Some(peer) = known {
            let mut state = self.locked();
            state.replica.unbind(peer);
            if let Some(traffic) = state.traffic.get_mut(name) {
                traffic.full = None;
            }
        }
        (known.is_some() || removed > 0).then_some(removed)
    }

    /// True if there was one.
    fn remove_claim(&self, key: RuleKey, name: &ClientName, actor: &Actor) -> bool {
        let owner = Owner::Peer(name.clone());
        let held = self.firewall.claims(key).0.into_iter();
        let its: Vec<Claim> = held.filter(|claim| claim.owner == owner).collect();
        if its.is_empty() {
            return false;
        }
        let done = self.replace(key, Some(owner), its, None, actor);
        done.is_some_and(|done| done.is_done())
    }
}

/// A machine that was copied with its number.
fn copied(traffic: &Traffic, now: Moment) -> Option<String> {
    let (at, whose) = traffic.copied.as_ref()?;
    if now.wall.saturating_sub(*at) > COPIED {
        return None;
    }
    Some(format!(
        "has the machine number of {whose}, as after copying a machine: their rules cannot be told apart. On one of the \
         two, remove the file {MACHINE} from [server] working_dir and restart couic"
    ))
}

impl SharedRules {
    fn rules_by_peer(&self, now: Moment) -> HashMap<PeerId, u64> {
        let mut rules = HashMap::new();
        for policy in Policy::ALL {
            for (.., slot) in self.replica.in_leaves(policy, (0, u16::MAX)) {
                if slot.in_force && !slot.is_own() && slot.is_live(now) {
                    *rules.entry(slot.from).or_default() += 1;
                }
            }
        }
        rules
    }

    /// What is wrong with the registers of a peer, and since when.
    fn full(&self, traffic: &Traffic, now: Moment) -> Option<(u64, String)> {
        let (at, problem) = traffic.full.as_ref()?;
        if now.wall.saturating_sub(*at) > FULL {
            return None;
        }
        let [own, others] = [true, false].map(|direct| self.replica.share(traffic.id, direct));
        let rules = own.registers + others.registers;
        let graves = own.tombstones + others.tombstones;
        let refused = own.refused + others.refused;
        Some((
            *at,
            format!(
                "sent more than its share: {problem}; {rules} are here, {graves} of them tombstones, and {refused} were \
                 refused since the start. If it should not have so many, run: couicctl peers forget"
            ),
        ))
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
