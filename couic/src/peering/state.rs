//! The state under the engine's lock: registers, links to peers, and traffic from them. Claims of the firewall and
//! registers are translated here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use couic_common::{ClientName, RuleKey};
use couic_peering::{Limits, Link, Moment, NEVER, NodeId, RecordState, Replica, Slot, Tokens};
use tokio::sync::Notify;

use couic_firewall::rules::{Claim, Owner};

/// The local data of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Local {
    /// The owner of its claim here.
    pub(super) owner: Owner,
    /// Whether the firewall has it.
    pub(super) in_force: bool,
}

/// Traffic from a peer.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) limits: Limits,
    pub(super) tokens: Tokens,
    pub(super) received: u64,
    pub(super) not_accepted: u64,
    pub(super) last: u64,
    pub(super) problem: Option<(u64, String)>,
    /// The machines that have spoken under this name.
    pub(super) machines: BTreeSet<u32>,
}

/// A peer that this node talks to.
pub(super) struct Peer {
    pub(super) name: ClientName,
    pub(super) endpoint: String,
    pub(super) link: Link,
    pub(super) wake: Arc<Notify>,
    /// Whether the log names it as failing.
    pub(super) was_failing: bool,
    /// Since when it has not answered, Unix ms.
    pub(super) failing_since: Option<u64>,
}

/// The state that the engine's lock guards.
pub(super) struct SharedRules {
    pub(super) replica: Replica<Local>,
    pub(super) peers: Vec<Peer>,
    /// By the name of the sender.
    pub(super) traffic: BTreeMap<ClientName, Traffic>,
    /// Rules that the firewall did not take, for example because it is full, and the claims in their place.
    pub(super) waiting: BTreeMap<RuleKey, Vec<Claim>>,
}

impl Traffic {
    pub(super) fn new(limits: Limits, now: Moment) -> Self {
        Self {
            tokens: Tokens::new(limits.adds_per_second, now.mono),
            limits,
            received: 0,
            not_accepted: 0,
            last: 0,
            problem: None,
            machines: BTreeSet::new(),
        }
    }

    /// Notes that a node has spoken under this name.
    pub(super) fn spoken(&mut self, node: NodeId) {
        // A name has one machine, or a few if it moved. Made-up numbers gain nothing.
        if self.machines.len() < 16 {
            self.machines.insert(node.machine());
        }
    }

    pub(super) fn refuse(&mut self, problem: String, now: Moment) {
        self.not_accepted += 1;
        self.problem = Some((now.wall, problem));
    }
}

impl SharedRules {
    /// The claim that the firewall has of a register, unless it was changed.
    pub(super) fn expected(&self, key: RuleKey) -> Option<Claim> {
        let slot = self.replica.get(key)?;
        slot.local.in_force.then(|| claim_of(slot))?
    }

    /// A rule was added or renewed here.
    pub(super) fn write(&mut self, key: RuleKey, held: &Claim, now: Moment) {
        let (says, local) = register_of(held);
        self.replica.write(key, says, local, now);
        self.changed(key, now);
    }

    /// A rule was deleted here.
    pub(super) fn write_deleted(&mut self, key: RuleKey, now: Moment) {
        let local = Local {
            owner: Owner::Api,
            in_force: false,
        };
        self.replica.write(key, RecordState::Deleted, local, now);
        self.changed(key, now);
    }

    fn changed(&mut self, key: RuleKey, now: Moment) {
        for peer in &mut self.peers {
            peer.link.changed(key, now);
            peer.wake.notify_one();
        }
    }
}

/// The claim that a register stands for; None for a tombstone. `Engine::replace` decides on its creation.
pub(super) fn claim_of(slot: &Slot<Local>) -> Option<Claim> {
    let RecordState::Live { tag, until } = &slot.record.state else {
        return None;
    };
    Some(Claim {
        owner: slot.local.owner.clone(),
        tag: tag.clone(),
        expiration: seconds(*until),
        creation: slot.record.stamp.ms() / 1_000,
    })
}

/// Unix seconds as the firewall has them; 0 = never.
pub(super) const fn seconds(until: u64) -> u64 {
    match until {
        NEVER => 0,
        until => until.saturating_add(500) / 1_000,
    }
}

/// The register of a claim that is in force here: the other direction of [`claim_of`].
pub(super) fn register_of(claim: &Claim) -> (RecordState, Local) {
    let says = RecordState::Live {
        tag: claim.tag.clone(),
        until: milliseconds(claim.expiration),
    };
    let local = Local {
        owner: claim.owner.clone(),
        in_force: true,
    };
    (says, local)
}

const fn milliseconds(expiration: u64) -> u64 {
    match expiration {
        0 => NEVER,
        // Later than any time that can be told from never.
        expiration => match expiration.checked_mul(1_000) {
            Some(ms) if ms < NEVER - 1_000 => ms,
            _ => NEVER,
        },
    }
}
