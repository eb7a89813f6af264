//! The rules that this node shares, and its view of each peer.
//!
//! One lock. The firewall may be called under it, and never calls back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{ClientName, Policy, RuleKey, StateProblem, unix_time};
use couic_peering::{Limits, Link, LinkSettings, Moment, NodeId, Replica};
use parking_lot::Mutex;

use super::{
    budget::{AnswerBudget, AnswerPlace},
    identity::MACHINE,
    state::{Peer, SharedRules, Traffic},
};
use crate::config;
use couic_firewall::{
    journal::Journal,
    rules::{Actor, Claim, ClaimSwap, Firewall, Origin, Owner, Swapped},
};

/// Room for registers of peers, tombstones included: two full tables of IPv4 and IPv6 drops. See `couic-peering` for the
/// share of each.
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
    answers: AnswerBudget,
    defaults: Limits,
    time: Time,
    /// Whether this machine is a copy of another one, and has a new number.
    was_copied: bool,
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
        let mut state = SharedRules {
            replica: Replica::new(node, millis(tombstones), REGISTERS),
            names: Vec::new(),
            peers: Vec::new(),
            traffic: BTreeMap::new(),
            waiting: BTreeSet::new(),
            tried: None,
            told_reasons: false,
        };
        for peer in peers {
            let seed = uuid::Uuid::new_v4().as_u64_pair().1;
            let id = state.traffic(&peer.name, &peer.limits, now).id;
            state.peers.push(Peer {
                name: peer.name,
                endpoint: peer.endpoint,
                link: Link::new(id, peer.link, seed),
                wake: Arc::default(),
                was_failing: false,
                failing_since: None,
            });
        }
        Self {
            journal: firewall.journal(),
            firewall,
            state: Mutex::new(state),
            answers: AnswerBudget::default(),
            defaults,
            time,
            was_copied: false,
        }
    }

    /// Notes that this machine had the number of another one, which health tells for an hour.
    #[must_use]
    pub(super) fn of_copied_machine(mut self, was_copied: bool) -> Self {
        self.was_copied = was_copied;
        self
    }

    /// What became of this machine's number, for the hour after the start at which it was changed.
    #[must_use]
    pub fn machine_problem(&self) -> Option<StateProblem> {
        const TOLD: u64 = 3_600_000;
        (self.was_copied && self.now().mono < TOLD).then(|| StateProblem {
            file: Some(MACHINE.to_owned()),
            message: "was copied from another machine, as with an image: this one has a new number for peering now. If \
                      it replaces the other one, run on its peers: couicctl peers forget NAME"
                .to_owned(),
        })
    }

    pub(super) fn now(&self) -> Moment {
        (self.time.0)()
    }

    /// A place for an answer with registers, to be held until it is sent.
    pub(crate) fn place_for_answer(&self, name: &ClientName) -> Option<AnswerPlace> {
        self.answers.place(name)
    }

    pub(super) fn traffic<'a>(
        &self,
        state: &'a mut SharedRules,
        name: &ClientName,
        now: Moment,
    ) -> &'a mut Traffic {
        state.traffic(name, &self.defaults, now)
    }

    /// Puts one claim in place of those that were seen, as old as the oldest of them. `owner` as in [`ClaimSwap`].
    pub(super) fn replace(
        &self,
        key: RuleKey,
        owner: Option<Owner>,
        seen: Vec<Claim>,
        wanted: Option<Claim>,
        actor: &Actor,
    ) -> Option<Swapped> {
        let oldest = seen.iter().map(|claim| claim.creation).min();
        let creation = oldest.unwrap_or_else(|| self.firewall.now());
        let swap = ClaimSwap {
            key,
            owner,
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
