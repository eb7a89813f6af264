//! Registers of peers come into force: each peer's are one claim of that peer.

use std::ops::Bound::{Excluded, Unbounded};

use couic_common::RuleKey;
use couic_peering::{Moment, PeerId};

use super::{
    engine::Engine,
    state::{SharedRules, Terms, claim, is_like},
};
use couic_firewall::rules::{Actor, Claim, FirewallError, Owner, Swapped};

/// How many rules that did not fit are tried again at a time.
const RETRIES: usize = 1_024;

/// How often a rule is put in force that changes meanwhile; then it waits for the next turn.
const ATTEMPTS: usize = 8;

impl Engine {
    /// Puts the registers of a rule in force after a change of them: `before` is what the firewall had for each peer.
    pub(super) fn settle(
        &self,
        state: &mut SharedRules,
        key: RuleKey,
        mut before: Vec<(PeerId, Option<Terms>)>,
        actor: &Actor,
        now: Moment,
    ) {
        self.append_changed(state);
        self.end_own(state, key, actor, now);
        let own = state.replica.own(key);
        if own.is_some_and(|own| !own.in_force && own.is_live(now)) {
            self.enforce_own(state, key, now);
        }
        for peer in state.peers_of(key) {
            if !before.iter().any(|(known, _)| *known == peer) {
                before.push((peer, None));
            }
        }
        // What comes before what goes, so that no packet passes in between.
        before.sort_by_key(|(peer, _)| state.wanted(key, *peer, now).is_none());
        for (peer, had) in before {
            self.enforce(state, key, (peer, had), actor, now);
        }
    }

    /// Puts what the registers of one peer ask for in force, in place of what the firewall had for it.
    pub(super) fn enforce(
        &self,
        state: &mut SharedRules,
        key: RuleKey,
        (peer, mut had): (PeerId, Option<Terms>),
        actor: &Actor,
        now: Moment,
    ) {
        let Some(name) = state.name_of(peer).cloned() else {
            return;
        };
        let owner = Owner::Peer(name);
        // By the firewall's clock: the rule that the register replaces has no claim to outlive it.
        let mut ended = false;
        for _ in 0..ATTEMPTS {
            let held = self.firewall.claims(key).0.into_iter();
            let seen: Vec<Claim> = held.filter(|claim| claim.owner == owner).collect();
            let wanted = state.wanted(key, peer, now).filter(|_| !ended);
            // A claim that came otherwise, by a plain job, is not the register's to end.
            let is_its = seen.iter().any(|claim| is_like(claim, had.as_ref()));
            if wanted.is_none() && !is_its {
                return state.is_in_force(key, peer, false, now);
            }
            let is_rule = wanted.is_some();
            let by = if ended { &Actor::Expiry } else { actor };
            let wanted = wanted.map(|terms| claim(owner.clone(), terms));
            match self.replace(key, Some(owner.clone()), seen, wanted, by) {
                Some(Swapped::Moved) => {
                    self.absorb(state, key, now);
                    had = state.expected(key, peer).or(had);
                }
                Some(Swapped::Refused(FirewallError::Expired { .. })) => ended = true,
                Some(Swapped::Refused(_)) => break,
                Some(Swapped::Done(_)) | None => {
                    return state.is_in_force(key, peer, is_rule, now);
                }
            }
        }
        state.waiting.insert((key, peer));
        state.replica.set_in_force(key, peer, false, now);
    }

    /// Tries the rules again that the firewall did not take.
    pub(super) fn try_again(&self) {
        let now = self.now();
        let mut state = self.locked();
        let from = state.tried.map_or(Unbounded, Excluded);
        let some = state.waiting.range((from, Unbounded)).take(RETRIES);
        let some: Vec<_> = some.copied().collect();
        // None waits for ever behind others that are refused again.
        state.tried = some.last().filter(|_| some.len() == RETRIES).copied();
        for (key, peer) in some {
            state.waiting.remove(&(key, peer));
            self.absorb(&mut state, key, now);
            if peer == PeerId::SELF {
                self.enforce_own(&mut state, key, now);
                continue;
            }
            let Some(name) = state.name_of(peer).cloned() else {
                continue;
            };
            let had = state.expected(key, peer);
            self.enforce(&mut state, key, (peer, had), &Actor::Peer(name), now);
        }
    }
}

impl SharedRules {
    /// The firewall agrees with the registers of a peer, which ask for a rule or for none.
    fn is_in_force(&mut self, key: RuleKey, peer: PeerId, is_rule: bool, now: Moment) {
        self.waiting.remove(&(key, peer));
        self.replica.set_in_force(key, peer, is_rule, now);
    }
}
