//! The state under the engine's lock: registers, links to peers, and traffic from them. Claims of the firewall and
//! registers are translated here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use couic_common::{ClientName, Reason, RuleKey, Tag};
use couic_peering::{
    Limits, Link, Moment, NEVER, PeerId, RecordState, RegisterId, Replica, Slot, Tokens,
};
use tokio::sync::Notify;

use couic_firewall::rules::{Claim, Owner};

/// Traffic from a peer.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) id: PeerId,
    pub(super) limits: Limits,
    pub(super) tokens: Tokens,
    pub(super) received: u64,
    pub(super) not_accepted: u64,
    pub(super) last: u64,
    pub(super) problem: Option<(u64, String)>,
    /// When a register was last refused as its share is full, Unix ms, and why.
    pub(super) full: Option<(u64, String)>,
    /// When it last spoke as the machine of another node, Unix ms, and which: a copied machine.
    pub(super) copied: Option<(u64, String)>,
    /// Changes that were not told yet, for the log: taken and refused.
    pub(super) untold: (u64, u64),
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
    pub(super) replica: Replica,
    /// By their id in the replica.
    pub(super) names: Vec<ClientName>,
    pub(super) peers: Vec<Peer>,
    /// By the name of the sender.
    pub(super) traffic: BTreeMap<ClientName, Traffic>,
    /// Rules that the firewall did not take, for example because it is full.
    pub(super) waiting: BTreeSet<(RuleKey, PeerId)>,
    /// The last of them that was tried again, if others follow.
    pub(super) tried: Option<(RuleKey, PeerId)>,
    /// Whether the log says that reasons of registers were not kept.
    pub(super) told_reasons: bool,
}

/// What holds for a rule on behalf of one peer, or of this node: until the last of several registers ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) tag: Option<Tag>,
    /// Unix seconds; 0 = never.
    pub(super) end: u64,
    pub(super) reason: Option<Reason>,
}

impl Terms {
    pub(super) fn of(claim: &Claim) -> Self {
        Self {
            tag: claim.tag.clone(),
            end: claim.expiration,
            reason: claim.reason.clone(),
        }
    }
}

impl Traffic {
    pub(super) fn new(id: PeerId, limits: Limits, now: Moment) -> Self {
        Self {
            id,
            tokens: Tokens::new(limits.adds_per_second, now.mono),
            limits,
            received: 0,
            not_accepted: 0,
            last: 0,
            problem: None,
            full: None,
            copied: None,
            untold: (0, 0),
        }
    }

    pub(super) fn refuse(&mut self, problem: String, now: Moment) {
        self.not_accepted += 1;
        self.untold.1 += 1;
        self.problem = Some((now.wall, problem));
    }
}

impl SharedRules {
    /// The peer of this name, a new one with these limits if need be.
    pub(super) fn traffic(
        &mut self,
        name: &ClientName,
        limits: &Limits,
        now: Moment,
    ) -> &mut Traffic {
        let (replica, names) = (&mut self.replica, &mut self.names);
        let traffic = self.traffic.entry(name.clone());
        traffic.or_insert_with(|| {
            names.push(name.clone());
            Traffic::new(replica.introduce(limits), limits.clone(), now)
        })
    }

    pub(super) fn name_of(&self, peer: PeerId) -> Option<&ClientName> {
        self.names.get(peer.index())
    }

    pub(super) fn id_of(&self, name: &ClientName) -> Option<PeerId> {
        self.traffic.get(name).map(|traffic| traffic.id)
    }

    /// What the registers of a rule that came from a peer ask for, or those of them that are in force already.
    fn terms(&self, key: RuleKey, peer: PeerId, is_meant: impl Fn(&Slot) -> bool) -> Option<Terms> {
        let me = self.replica.node().machine();
        let all = self.replica.of(key);
        let its = all.filter(|(id, slot)| slot.from == peer && (id.author != me) && is_meant(slot));
        let latest = its.max_by_key(|(_, slot)| (slot.until(), slot.record.stamp))?;
        self.terms_of(latest.1)
    }

    /// What a register asks for; None for a tombstone.
    pub(super) fn terms_of(&self, slot: &Slot) -> Option<Terms> {
        Some(Terms {
            tag: slot.tag().cloned(),
            end: seconds(slot.until()?),
            reason: self.replica.reason(slot).cloned(),
        })
    }

    /// What is to be in force on behalf of a peer.
    pub(super) fn wanted(&self, key: RuleKey, peer: PeerId, now: Moment) -> Option<Terms> {
        self.terms(key, peer, |slot| slot.is_live(now))
    }

    /// What the firewall has on behalf of a peer, unless it was changed.
    pub(super) fn expected(&self, key: RuleKey, peer: PeerId) -> Option<Terms> {
        self.terms(key, peer, |slot| slot.in_force)
    }

    /// The peers whose registers of a rule are held.
    pub(super) fn peers_of(&self, key: RuleKey) -> Vec<PeerId> {
        let me = self.replica.node().machine();
        let all = self.replica.of(key);
        let others = all.filter(|(id, _)| id.author != me);
        let mut peers: Vec<_> = others.map(|(_, slot)| slot.from).collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }

    /// What the firewall has for the registers of a rule, by peer: to be settled after a change of them.
    pub(super) fn standing(&self, key: RuleKey) -> Vec<(PeerId, Option<Terms>)> {
        let peers = self.peers_of(key).into_iter();
        peers.map(|peer| (peer, self.expected(key, peer))).collect()
    }

    /// A rule was added or renewed by this node's clients, or by plain jobs of a peer.
    pub(super) fn write(
        &mut self,
        key: RuleKey,
        Terms { tag, end, reason }: Terms,
        from: PeerId,
        now: Moment,
    ) {
        let until = milliseconds(end);
        let live = (RecordState::Live { tag, until }, reason.as_ref());
        self.replica.write_because(key, live, from, now);
        self.changed(key, now);
    }

    /// The last of them was removed.
    pub(super) fn write_deleted(&mut self, key: RuleKey, now: Moment) {
        let from = self.replica.own(key).map_or(PeerId::SELF, |own| own.from);
        self.replica.write(key, RecordState::Deleted, from, now);
        self.changed(key, now);
    }

    /// An operator ended the rule for all.
    pub(super) fn revoke(&mut self, key: RuleKey, now: Moment) {
        self.replica.revoke(key, now);
        self.changed(key, now);
    }

    /// Sends this node's register to its peers.
    pub(super) fn changed(&mut self, key: RuleKey, now: Moment) {
        self.tell(self.replica.own_id(key), now);
    }

    /// Sends a register to all peers.
    pub(super) fn tell(&mut self, id: RegisterId, now: Moment) {
        for peer in &mut self.peers {
            peer.link.changed(id, now);
            peer.wake.notify_one();
        }
    }
}

/// What several claims ask for together: tag and reason of the first, until the last of them ends.
pub(super) fn union<'a>(mut claims: impl Iterator<Item = &'a Claim>) -> Option<Terms> {
    let first = claims.next()?;
    let later = |one: u64, other: u64| match (one, other) {
        (0, _) | (_, 0) => 0,
        (one, other) => one.max(other),
    };
    let end = claims.fold(first.expiration, |end, claim| later(end, claim.expiration));
    Some(Terms {
        end,
        ..Terms::of(first)
    })
}

/// Whether a claim asks for this, whatever the reason: the firewall may have had no place for that.
pub(super) fn is_like(claim: &Claim, terms: Option<&Terms>) -> bool {
    terms.is_some_and(|terms| (&terms.tag, terms.end) == (&claim.tag, claim.expiration))
}

/// A claim of this owner, as old as those that it replaces.
pub(super) fn claim(owner: Owner, terms: Terms) -> Claim {
    Claim {
        owner,
        tag: terms.tag,
        expiration: terms.end,
        creation: 0,
        reason: terms.reason,
    }
}

/// Unix seconds as the firewall has them; 0 = never.
pub(super) const fn seconds(until: u64) -> u64 {
    match until {
        NEVER => 0,
        until => until.saturating_add(500) / 1_000,
    }
}

pub(super) const fn milliseconds(expiration: u64) -> u64 {
    match expiration {
        0 => NEVER,
        // Later than any time that can be told from never.
        expiration => match expiration.checked_mul(1_000) {
            Some(ms) if ms < NEVER - 1_000 => ms,
            _ => NEVER,
        },
    }
}
