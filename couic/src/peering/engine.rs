//! The rules that this node shares, and its view of each peer.
//!
//! One lock. The firewall may be called under it, and never calls back.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{ClientName, Policy, RuleKey, unix_time};
use couic_peering::{Limits, Link, LinkSettings, Moment, NodeId, Replica};
use parking_lot::Mutex;

use super::state::{Peer, SharedRules, Traffic};
use crate::config;
use couic_firewall::{
    journal::Journal,
    rules::{Actor, Claim, ClaimSwap, Firewall, Origin, Owner, Swapped},
};

/// Maximum number of registers, tombstones included: two full tables of IPv4 and IPv6 drops.
const REGISTERS: usize = 4 << 20;

/// The source of time, which tests can set.
#[derive(Clone)]
pub struct Time(Arc<dyn Fn() -> Moment + Send + Sync>);

impl Time {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self::skewed(0)
    }

    /// The machine's clocks, the wall clock being this many seconds ahead.
    #[must_use]
    pub fn skewed(seconds: i64) -> Self {
        let start = Instant::now();
        Self(Arc::new(move || Moment {
            wall: millis(unix_time()).saturating_add_signed(seconds * 1_000),
            mono: millis(start.elapsed()),
        }))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A peer that is configured.
#[derive(Clone, Debug)]
pub struct PeerSettings {
    /// Its name.
    pub name: ClientName,
    /// Its address, for logs and status.
    pub endpoint: String,
    /// Its limits here.
    pub limits: Limits,
    /// The settings of its link.
    pub link: LinkSettings,
}

impl From<&config::Peer> for PeerSettings {
    fn from(peer: &config::Peer) -> Self {
        let mut link = LinkSettings::default();
        if peer.limits.ignore {
            link.policies = Policy::ALL.to_vec();
        }
        Self {
            name: peer.name.clone(),
            endpoint: format!("{}:{}", peer.host, peer.port),
            limits: peer.limits.clone(),
            link,
        }
    }
}

/// The shared rules of this node.
pub struct Engine {
    pub(super) firewall: Arc<Firewall>,
    pub(super) state: Mutex<SharedRules>,
    pub(super) journal: Option<Arc<Journal>>,
    defaults: Limits,
    time: Time,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// The rules of a firewall, to be shared with these peers. Other senders have the limits `defaults`.
    /// Tombstones last for `tombstones`. `machine` is this machine's number, the same at every start.
    #[must_use]
    pub fn new(
        machine: u32,
        firewall: Arc<Firewall>,
        peers: Vec<PeerSettings>,
        defaults: Limits,
        tombstones: Duration,
        time: Time,
    ) -> Self {
        let now = (time.0)();
        let node = NodeId::started(machine, uuid::Uuid::new_v4().as_fields().0);
        let mut traffic = BTreeMap::new();
        let mut links = Vec::new();
        for peer in peers {
            let seed = uuid::Uuid::new_v4().as_u64_pair().1;
            let known = Traffic::new(peer.limits, now);
            traffic.insert(peer.name.clone(), known);
            links.push(Peer {
                name: peer.name,
                endpoint: peer.endpoint,
                link: Link::new(peer.link, seed),
                wake: Arc::default(),
                was_failing: false,
                failing_since: None,
            });
        }
        let state = SharedRules {
            replica: Replica::new(node, now, millis(tombstones), REGISTERS),
            peers: links,
            traffic,
            waiting: BTreeMap::new(),
        };
        Self {
            journal: firewall.journal(),
            firewall,
            state: Mutex::new(state),
            defaults,
            time,
        }
    }

    pub(super) fn now(&self) -> Moment {
        (self.time.0)()
    }

    pub(super) fn traffic<'a>(
        &self,
        state: &'a mut SharedRules,
        name: &ClientName,
        now: Moment,
    ) -> &'a mut Traffic {
        let traffic = state.traffic.entry(name.clone());
        traffic.or_insert_with(|| Traffic::new(self.defaults.clone(), now))
    }

    /// Turns a local change of a rule, one that no peer's register made, into a register. Returns the claims that
    /// stand now.
    pub(super) fn absorb(&self, state: &mut SharedRules, key: RuleKey, now: Moment) -> Vec<Claim> {
        let (held, second) = self.firewall.claims(key);
        // The firewall refused the register, so the difference is no local change, unless there is a new claim.
        if let Some(left) = state.waiting.get(&key) {
            if held
                .iter()
                .all(|held| left.iter().any(|l| Claim::alike([held], [l])))
            {
                return held;
            }
            state.waiting.remove(&key);
        }
        let expected = state.expected(key);
        if Claim::alike(&held, &expected) {
            return held;
        }
        if let Some(news) = held.iter().find(|h| !Claim::alike([*h], &expected)) {
            let news = news.clone();
            state.write(key, &news, now);
            if held.len() > 1 {
                // If that comes too late, another hint is on its way.
                self.replace(key, held, Some(news.clone()), &actor_of(&news.owner));
            }
            return vec![news];
        }
        let ended = expected.is_some_and(|e| e.expiration != 0 && e.expiration <= second);
        if ended {
            if let Some(local) = state.replica.local_mut(key) {
                local.in_force = false;
            }
        } else {
            state.write_deleted(key, now);
        }
        held
    }

    /// Puts one claim in place of those that were seen, as old as the oldest of them.
    pub(super) fn replace(
        &self,
        key: RuleKey,
        seen: Vec<Claim>,
        wanted: Option<Claim>,
        actor: &Actor,
    ) -> Option<Swapped> {
        let oldest = seen.iter().map(|claim| claim.creation).min();
        let creation = oldest.unwrap_or_else(|| self.firewall.now());
        let swap = ClaimSwap {
            key,
            owner: None,
            expected: seen,
            wanted: wanted.map(|claim| Claim { creation, ..claim }),
        };
        let origin = Origin {
            actor: actor.clone(),
            metadata: None,
        };
        self.firewall.swap(vec![swap], &origin).pop()
    }
}

/// The actor on whose behalf a claim is enforced.
pub(super) fn actor_of(owner: &Owner) -> Actor {
    match owner {
        Owner::Peer(name) => Actor::Peer(name.clone()),
        Owner::Set(name) => Actor::Set(name.clone()),
        // The claim exists already and is shown; removing those beneath it sends no event.
        Owner::Api | Owner::Client(_) => Actor::Expiry,
    }
}
