//! Rules that outlive the process: the records of the journal, and restoring them.
//!
//! Guarantees:
//! - Every change of a claim of a client or a peer is appended to the journal before the call that made it returns.
//!   Claims of sets are in the set files.
//! - A restored rule has its owner, tag, expiration and creation, and emits no event: a restart is not a change.
//! - A rule that does not fit, say because a limit was lowered, is kept: it stays in the journal, and is put in force
//!   as soon as there is room. It can be removed, but is not listed.

use std::{
    collections::BTreeMap,
    io,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use couic_common::{Cidr, Entry, Policy, ReasonOf, RuleKey};

use super::{
    Actor, CHUNK, Claim, ClaimRef, ClaimScope, Firewall, FirewallError,
    core::Core,
    packed::{Claims, PackedClaim},
};
use crate::journal::{Journal, Record, Recovered, Rows, RuleClaims};

/// The core's view of the journal.
#[derive(Default)]
pub(super) struct Durable {
    journal: Option<Arc<Journal>>,
    /// How many records were appended.
    appended: u64,
    /// Rules that did not fit at the start. None of them has a claim of a client or a peer in force.
    kept: BTreeMap<RuleKey, Vec<Claim>>,
}

/// The outcome for rules from before the restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// In force.
    pub rules: usize,
    /// Their time had passed.
    pub expired: usize,
    /// Kept until there is room.
    pub kept: usize,
}

impl Durable {
    /// How many records were appended so far.
    pub(super) const fn appended(&self) -> u64 {
        self.appended
    }
}

fn record(key: RuleKey, claims: Vec<Claim>) -> Record {
    Record::Claims(RuleClaims { key, claims })
}

impl Firewall {
    /// Puts rules from before the restart in force, beneath the claims of sets, and records every change from now on.
    /// Call it before any rule is changed.
    pub fn restore(&self, journal: Arc<Journal>, recovered: Recovered) -> Restored {
        let mut restored = Restored::default();
        let mut rules = recovered.claims.into_iter().peekable();
        while rules.peek().is_some() {
            self.change(|core, now| {
                for (key, claims) in rules.by_ref().take(CHUNK) {
                    core.restore(&journal, key, claims, now, &mut restored);
                }
            });
        }
        journal.commit();
        let journal = Arc::clone(self.journal.get_or_init(|| journal));
        self.core.lock().durable.journal = Some(journal);
        restored
    }

    /// Puts rules in force that did not fit at the start and do now. Returns how many.
    pub fn admit_kept(&self) -> usize {
        let mut restored = Restored::default();
        let mut after = None;
        while let Some(last) = self.change(|core, now| core.admit(after, now, &mut restored)) {
            after = Some(last);
        }
        restored.rules
    }

    /// Whether a rule from before the restart does not fit.
    #[must_use]
    pub fn is_kept(&self, key: RuleKey) -> bool {
        self.core.lock().durable.kept.contains_key(&key)
    }

    /// How many rules from before the restart do not fit.
    #[must_use]
    pub fn kept_rules(&self) -> usize {
        self.core.lock().durable.kept.len()
    }

    /// The journal, if there is one.
    #[must_use]
    pub fn journal(&self) -> Option<Arc<Journal>> {
        self.journal.get().cloned()
    }

    fn page_of_kept(&self, after: Option<RuleKey>) -> Vec<(RuleKey, Vec<Claim>)> {
        self.change(|core, _| {
            let from = after.map_or(Unbounded, Excluded);
            let kept = core.durable.kept.range((from, Unbounded)).take(CHUNK);
            kept.map(|(key, claims)| (*key, claims.clone())).collect()
        })
    }

    /// The rules behind `after` with their claims to be kept, which may be none.
    fn page_of_saved(&self, policy: Policy, after: Option<Cidr>) -> Vec<(RuleKey, Vec<Claim>)> {
        self.change(|core, _| {
            let table = core.table(policy);
            let some = table.iter_after(after).take(CHUNK);
            let saved = |(cidr, shown): (Cidr, &PackedClaim)| {
                let claims = table.all_claims(cidr, shown);
                (RuleKey::new(policy, cidr), core.saved(policy, claims))
            };
            some.map(saved).collect()
        })
    }
}

impl Rows for Firewall {
    fn rows(&self, each: &mut dyn FnMut(&Record) -> io::Result<()>) -> io::Result<()> {
        let mut hand_over = |page: Vec<(RuleKey, Vec<Claim>)>| {
            let rules = page.into_iter().filter(|(_, claims)| !claims.is_empty());
            for (key, claims) in rules {
                each(&record(key, claims))?;
            }
            Ok::<(), io::Error>(())
        };
        let mut after = None;
        loop {
            let page = self.page_of_kept(after);
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            hand_over(page)?;
        }
        // Behind those that are kept: one that is put in force meanwhile comes twice, and not never.
        for policy in Policy::ALL {
            let mut after = None;
            loop {
                let page = self.page_of_saved(policy, after);
                let Some((last, _)) = page.last() else {
                    break;
                };
                after = Some(last.cidr);
                hand_over(page)?;
            }
        }
        Ok(())
    }
}

impl Core {
    /// Records the claims of clients and peers on a rule, if they change. Call it before the table changes.
    pub(super) fn record(&mut self, key: RuleKey, old: &Claims, new: &Claims) {
        let Some(journal) = &self.durable.journal else {
            return;
        };
        let is_saved = |claim: &&PackedClaim| !claim.owner.is_set();
        if old.iter().filter(is_saved).eq(new.iter().filter(is_saved)) {
            return;
        }
        journal.append_claims(key, new.iter().map(|c| self.unpack(key.policy, c)));
        self.durable.appended += 1;
        if !self.durable.kept.is_empty() {
            self.durable.kept.remove(&key);
        }
    }

    fn saved<'a>(
        &self,
        policy: Policy,
        claims: impl Iterator<Item = &'a PackedClaim>,
    ) -> Vec<Claim> {
        let claims = claims.map(|claim| self.unpack(policy, claim));
        let saved = claims.filter(|claim| !claim.owner.is_set());
        saved.map(ClaimRef::to_claim).collect()
    }

    fn restore(
        &mut self,
        journal: &Journal,
        key: RuleKey,
        mut claims: Vec<Claim>,
        now: u64,
        restored: &mut Restored,
    ) {
        let count = claims.len();
        claims.retain(|claim| !claim.is_over(now));
        if claims.len() < count {
            // An ended ban stays ended, also if the clock is set back later.
            journal.append(&record(key, claims.clone()));
        }
        if claims.is_empty() {
            restored.expired += 1;
            return;
        }
        match self.put_back(key, &claims, now) {
            Ok(()) => restored.rules += 1,
            Err(_) => {
                restored.kept += 1;
                self.durable.kept.insert(key, claims);
            }
        }
    }

    /// Restores saved claims on a rule that has none but those of sets.
    fn put_back(&mut self, key: RuleKey, saved: &[Claim], now: u64) -> Result<(), FirewallError> {
        let there = self.table(key.policy).claims(key.cidr);
        if there.shown().is_none() {
            self.check_room(key)?;
        }
        let mut claims = there;
        // Held meanwhile, since a claim's tag or reason could be given away for the next claim's.
        let mut held = Vec::new();
        let mut reasons = Vec::new();
        let mut outcome = Ok(());
        // The last written one of clients is recorded first, and has to be written last.
        for claim in saved.iter().rev() {
            let slot = match self.slot(key.policy, claim.tag.as_ref()) {
                Ok(slot) => slot,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            };
            let owner = self.owner_id(&claim.owner);
            let holder = self.holder(owner);
            self.tags_mut(key.policy).0.hold(slot, holder);
            held.push(slot);
            let reason = claim.reason.as_ref();
            let reason = self.reasons_mut().hold_reason(reason, ReasonOf::Own);
            reasons.push(reason);
            let claim = PackedClaim {
                expiration: claim.expiration,
                creation: claim.creation,
                owner,
                slot,
                reason,
            };
            claims = claims.with(claim, self.owners());
        }
        if outcome.is_ok() {
            let unpublished = self.exchange(key, claims);
            outcome = unpublished.map(drop).map_err(Into::into);
        }
        let (tags, _) = self.tags_mut(key.policy);
        held.into_iter().for_each(|slot| tags.release(slot));
        let kept = self.reasons_mut();
        reasons.into_iter().for_each(|id| kept.release(id));
        outcome.inspect_err(|error| {
            tracing::debug!("{key} is not restored at {now}: {error}");
        })
    }

    /// Tries the kept rules behind `after`. Returns the last one looked at, None at the end.
    fn admit(
        &mut self,
        after: Option<RuleKey>,
        now: u64,
        restored: &mut Restored,
    ) -> Option<RuleKey> {
        let journal = self.durable.journal.clone()?;
        let from = after.map_or(Unbounded, Excluded);
        let kept = self.durable.kept.range((from, Unbounded)).take(CHUNK);
        let keys: Vec<RuleKey> = kept.map(|(key, _)| *key).collect();
        for key in &keys {
            let claims = self.durable.kept.get(key).into_iter().flatten();
            let has_expired = claims.into_iter().any(|claim| claim.is_over(now));
            let is_there = self.table(key.policy).shown(key.cidr).is_some();
            if (has_expired || is_there || self.check_room(*key).is_ok())
                && let Some(claims) = self.durable.kept.remove(key)
            {
                self.restore(&journal, *key, claims, now, restored);
            }
        }
        self.durable.appended += 1;
        keys.last().copied()
    }

    /// Tries a rule that is kept, before another claim on it is made: that must not end those that are kept.
    pub(super) fn admit_one(&mut self, key: RuleKey, now: u64) {
        if !self.durable.kept.is_empty()
            && let Some(journal) = self.durable.journal.clone()
            && let Some(claims) = self.durable.kept.remove(&key)
        {
            self.restore(&journal, key, claims, now, &mut Restored::default());
        }
    }

    /// Releases claims on a rule that is kept. Returns it as it would have been shown.
    pub(super) fn remove_kept(
        &mut self,
        key: RuleKey,
        scope: &ClaimScope,
        actor: &Actor,
    ) -> Option<Entry> {
        let claims = self.durable.kept.get(&key)?;
        let is_left = |claim: &Claim| !scope.takes(actor, &claim.owner, claim.tag.as_ref());
        let left: Vec<Claim> = claims.iter().filter(|c| is_left(c)).cloned().collect();
        let shown = claims.iter().find(|claim| !is_left(claim))?;
        let entry = Entry {
            creation: shown.creation,
            cidr: key.cidr,
            tag: shown.tag.clone(),
            expiration: shown.expiration,
            hits: None,
            last_seen: None,
            reason: shown.reason.clone(),
            owners: Vec::new(),
        };
        if let Some(journal) = &self.durable.journal {
            journal.append(&record(key, left.clone()));
            self.durable.appended += 1;
        }
        if left.is_empty() {
            self.durable.kept.remove(&key);
        } else {
            self.durable.kept.insert(key, left);
        }
        Some(entry)
    }
}
