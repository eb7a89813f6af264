//! Changes made on this node: what its clients want, or an operator removed, becomes this node's register.

use couic_common::{ClientName, RuleKey};
use couic_peering::{Moment, PeerId};

use super::{
    engine::Engine,
    state::{SharedRules, is_like, union},
};
use couic_firewall::rules::{Actor, Claim, Owner, Swapped};

/// How often a rule is looked at again that changes meanwhile; then the next event looks.
const ATTEMPTS: usize = 8;

/// What was found of the claims of peers.
#[derive(Default)]
struct Found {
    /// Peers whose claims are not those of registers: they came as plain jobs, and this node passes them on.
    plain: Vec<ClientName>,
    /// Whether one was removed here.
    removed: bool,
}

impl Engine {
    /// Turns a local change of a rule, one that no peer's register made, into a register.
    pub(super) fn absorb(&self, state: &mut SharedRules, key: RuleKey, now: Moment) {
        let (held, second) = self.firewall.claims(key);
        let is_over = |end: u64| end != 0 && end <= second;
        let Found { plain, removed } = peers_claims(state, key, &held, &is_over, now);
        let own = held.iter().filter(|claim| match &claim.owner {
            Owner::Peer(name) => plain.contains(name),
            _ => true,
        });
        let by_peers = own
            .clone()
            .all(|claim| matches!(claim.owner, Owner::Peer(_)));
        let from = plain.first().filter(|_| by_peers);
        let from = from.map_or(PeerId::SELF, |name| self.traffic(state, name, now).id);
        let mut wants = union(own);
        if let Some(wants) = &mut wants {
            // Else a register without it would be written anew for ever.
            wants.reason = wants
                .reason
                .take()
                .filter(|reason| state.replica.would_keep(reason));
        }
        if removed {
            let before = state.standing(key);
            state.revoke(key, now);
            self.settle(state, key, before, &Actor::Expiry, now);
            if let Some(wants) = wants {
                state.write(key, wants, from, now);
            }
            return;
        }
        let own = state.replica.own(key);
        let has = own.filter(|own| !own.ended);
        let has = has.and_then(|own| state.terms_of(own));
        let is_in_force = own.is_some_and(|own| own.in_force);
        let is_from = own.is_some_and(|own| own.from == from);
        match wants {
            Some(wants) if has.as_ref() == Some(&wants) && is_from => {
                state.replica.set_in_force(key, PeerId::SELF, true, now);
            }
            Some(wants) => state.write(key, wants, from, now),
            None if !is_in_force => {}
            None if has.is_some_and(|has| is_over(has.end)) => {
                state.replica.set_in_force(key, PeerId::SELF, false, now);
            }
            None => state.write_deleted(key, now),
        }
    }

    /// This node's register was ended by a peer that is trusted with that: so are the claims that it stands for.
    pub(super) fn end_own(
        &self,
        state: &mut SharedRules,
        key: RuleKey,
        actor: &Actor,
        now: Moment,
    ) {
        for _ in 0..ATTEMPTS {
            let is_ended = |own: &couic_peering::Slot| own.ended && own.record.is_rule();
            if !state.replica.own(key).is_some_and(is_ended) {
                return;
            }
            let held = self.firewall.claims(key).0;
            // Those of peers whose registers hold are put back one by one; one stays, so that no packet passes.
            let rest = state.peers_of(key).into_iter().find_map(|peer| {
                let wanted = state.wanted(key, peer, now)?;
                let owner = Owner::Peer(state.name_of(peer)?.clone());
                Some(super::state::claim(owner, wanted))
            });
            match self.replace(key, None, held, rest, actor) {
                Some(Swapped::Moved) => self.absorb(state, key, now),
                Some(Swapped::Refused(_)) => return,
                Some(Swapped::Done(_)) | None => return state.write_deleted(key, now),
            }
        }
    }

    /// Puts this node's register in force again where the firewall has lost it, as after damage to its state.
    pub(super) fn enforce_own(&self, state: &mut SharedRules, key: RuleKey, now: Moment) {
        let Some(own) = state.replica.own(key).filter(|own| own.is_live(now)) else {
            return;
        };
        let (from, Some(wanted)) = (own.from, state.terms_of(own)) else {
            return;
        };
        let owner = match state.name_of(from) {
            Some(name) => Owner::Peer(name.clone()),
            None => Owner::Api,
        };
        let held = self.firewall.claims(key).0.into_iter();
        let seen: Vec<Claim> = held.filter(|claim| claim.owner == owner).collect();
        let wanted = super::state::claim(owner.clone(), wanted);
        // Nobody has changed the rule: it is what it was.
        let done = self.replace(key, Some(owner), seen, Some(wanted), &Actor::Expiry);
        if done.is_some_and(|done| done.is_done()) {
            state.replica.set_in_force(key, PeerId::SELF, true, now);
            state.waiting.remove(&(key, PeerId::SELF));
        } else {
            state.waiting.insert((key, PeerId::SELF));
        }
    }
}

/// Compares the claims of peers with what their registers ask for.
fn peers_claims(
    state: &mut SharedRules,
    key: RuleKey,
    held: &[Claim],
    is_over: &impl Fn(u64) -> bool,
    now: Moment,
) -> Found {
    let mut found = Found::default();
    let standing = state.standing(key);
    let claim_of = |name: &ClientName| {
        let mut all = held.iter();
        all.find(|claim| matches!(&claim.owner, Owner::Peer(owner) if owner == name))
    };
    for (peer, expected) in &standing {
        let Some(name) = state.name_of(*peer).cloned() else {
            continue;
        };
        match (claim_of(&name), expected) {
            (Some(claim), expected) if is_like(claim, expected.as_ref()) => {}
            (Some(claim), _) if is_like(claim, state.wanted(key, *peer, now).as_ref()) => {
                state.replica.set_in_force(key, *peer, true, now);
            }
            (Some(_), _) => {
                state.replica.set_in_force(key, *peer, false, now);
                found.plain.push(name);
            }
            (None, Some(expected)) => {
                found.removed |= !is_over(expected.end);
                state.replica.set_in_force(key, *peer, false, now);
            }
            (None, None) => {}
        }
    }
    for claim in held {
        if let Owner::Peer(name) = &claim.owner {
            let id = state.id_of(name);
            if !standing.iter().any(|(peer, _)| Some(*peer) == id) {
                found.plain.push(name.clone());
            }
        }
    }
    found
}
