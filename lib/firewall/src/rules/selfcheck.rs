//! Compares the data plane with the rules, a part at a time, and mends it.
//!
//! Both ways: each rule must be in the tables as it was written and be the one that packets from its first address
//! meet, unless a longer or an ignoring one is; and each entry of the tables must be a rule. No claim may be past its
//! time. Every difference is a fault, of memory or of this program: in a sound daemon there is none.

use couic_common::{Cidr, Policy, RuleKey};

use super::{Firewall, core::Core};
use crate::dataplane::{PlaneRule, TagSlot};

/// Rules of each policy that are compared in one round. A million takes an hour.
const RULES: usize = 16_384;
/// Places of the tables that are looked at in one round.
const PLACES: usize = 262_144;
/// How many of either are looked at under one hold of the lock: less than a millisecond.
const RULES_AT_ONCE: usize = 128;
const PLACES_AT_ONCE: usize = 4096;

/// The position of the next round.
#[derive(Debug, Default)]
pub struct SelfCheck {
    after: [Option<Cidr>; 2],
    place: usize,
}

/// The result of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelfChecked {
    /// Rules that were compared.
    pub rules: usize,
    /// Differences that are no more.
    pub healed: Vec<RuleKey>,
    /// Differences that are still there.
    pub left: Vec<RuleKey>,
}

impl SelfCheck {
    /// A round: continues after the one before it, and lets others in between.
    pub fn round(&mut self, firewall: &Firewall) -> SelfChecked {
        let mut found = SelfChecked::default();
        for policy in Policy::ALL {
            let mut looked = 0;
            while looked < RULES {
                let after = &mut self.after[policy as usize];
                let compared =
                    firewall.change(|core, now| rules(core, policy, after, now, &mut found));
                looked += compared;
                if after.is_none() {
                    break;
                }
            }
            found.rules += looked;
        }
        for _ in 0..PLACES / PLACES_AT_ONCE {
            let from = self.place;
            let next = firewall.change(|core, now| places(core, from, now, &mut found));
            self.place = next.unwrap_or(0);
            if next.is_none() {
                break;
            }
        }
        found
    }
}

/// Compares the next rules of a policy. Returns how many; `after` is the position to continue from, none at the end.
fn rules(
    core: &mut Core,
    policy: Policy,
    after: &mut Option<Cidr>,
    now: u64,
    found: &mut SelfChecked,
) -> usize {
    let next = core.table(policy).iter_after(*after);
    let next: Vec<Cidr> = next.take(RULES_AT_ONCE).map(|(cidr, _)| cidr).collect();
    for key in next.iter().map(|cidr| RuleKey::new(policy, *cidr)) {
        if is_overdue(core, key, now) {
            expire_anew(core, key, now);
        } else if is_right(core, key) {
            continue;
        } else {
            heal(core, key);
        }
        note(core, key, now, found);
    }
    *after = (next.len() == RULES_AT_ONCE)
        .then(|| next.last().copied())
        .flatten();
    next.len()
}

/// Looks for entries in the tables that are no rules. Returns the position to continue from.
fn places(core: &mut Core, from: usize, now: u64, found: &mut SelfChecked) -> Option<usize> {
    let mut shown = Vec::new();
    let next = core
        .plane()
        .walk(from, PLACES_AT_ONCE, &mut |key| shown.push(key));
    for key in shown {
        // An entry that a damaged key hides from packets is not found by this, and has no effect.
        if core.table(key.policy).shown(key.cidr).is_none() && core.plane().held(key).is_some() {
            heal(core, key);
            note(core, key, now, found);
        }
    }
    next
}

fn wanted(core: &Core, key: RuleKey) -> Option<PlaneRule> {
    let rule = core.table(key.policy).claims(key.cidr).plane_rule();
    rule.map(PlaneRule::as_held)
}

/// The rule that must decide about packets from the first address of a rule.
fn decides(core: &Core, cidr: Cidr) -> Option<(Policy, TagSlot)> {
    Policy::ALL.into_iter().find_map(|policy| {
        let covering = core.table(policy).covering(cidr.addr());
        covering.first().map(|(_, claim)| (policy, claim.slot))
    })
}

fn is_right(core: &mut Core, key: RuleKey) -> bool {
    let (wanted, decides) = (wanted(core, key), decides(core, key.cidr));
    let plane = core.plane();
    plane.held(key) == wanted && plane.decides(key.cidr.addr()) == decides
}

/// Writes a rule again; if that does not help, removes it first, so that all words that lead to it are written, too.
fn heal(core: &mut Core, key: RuleKey) {
    let Some(rule) = core.table(key.policy).claims(key.cidr).plane_rule() else {
        core.plane().erase(key);
        return;
    };
    let _ = core.plane().put(key, rule);
    if !is_right(core, key) {
        let _ = core.plane().remove(key);
        let _ = core.plane().put(key, rule);
    }
}

/// Whether a claim is past its time. All of which the queue of deadlines knows have been taken away before.
fn is_overdue(core: &Core, key: RuleKey, now: u64) -> bool {
    let claims = core.table(key.policy).claims(key.cidr);
    claims.iter().any(|claim| is_past(claim.expiration, now))
}

const fn is_past(expiration: u64, now: u64) -> bool {
    expiration != 0 && expiration <= now
}

/// Adds claims that are missing in the queue, and removes expired ones.
fn expire_anew(core: &mut Core, key: RuleKey, now: u64) {
    let claims = core.table(key.policy).claims(key.cidr);
    for claim in claims.iter().filter(|c| is_past(c.expiration, now)) {
        core.deadlines_mut().push(claim.expiration, key);
    }
    while core.expire(now, RULES_AT_ONCE).1 {}
}

fn note(core: &mut Core, key: RuleKey, now: u64, found: &mut SelfChecked) {
    let list = if is_right(core, key) && !is_overdue(core, key, now) {
        &mut found.healed
    } else {
        &mut found.left
    };
    list.push(key);
}

#[cfg(test)]
mod tests;
