//! What is asked of the rules one at a time: add, renew, remove, expire. Each ends in one [`Core::install`].

use couic_common::{Entry, Policy, RuleKey, Tag};

use super::{
    Actor, Applied, FirewallError, NewRule, Origin,
    claims::{Claim, Claims, Owner, OwnerId},
    core::Core,
};
use crate::dataplane::MAX_TAGS;

/// What an add found.
enum Found {
    New(OwnerId, Claims),
    Same,
    Other(OwnerId, Claims),
}

/// A claim that is wanted.
pub(super) struct Wish<'a> {
    pub(super) owner: OwnerId,
    pub(super) tag: Option<&'a Tag>,
    /// Unix seconds; 0 = never.
    pub(super) expiration: u64,
    /// Unix seconds.
    pub(super) creation: u64,
}

impl Core {
    /// Adds a rule, or renews the claim of the origin's owner: the later tag and expiration win.
    pub(super) fn upsert(
        &mut self,
        policy: Policy,
        rule: &NewRule,
        now: u64,
        origin: &Origin,
    ) -> Result<Applied, FirewallError> {
        let NewRule {
            cidr,
            tag,
            expiration,
        } = rule;
        let key = RuleKey::new(policy, *cidr);
        check_expiration(*expiration, now)?;
        let (applied, owner, claims) = match self.find(policy, rule, origin) {
            Found::Same => return Ok(Applied::Unchanged),
            Found::New(owner, claims) => {
                self.check_room(key)?;
                (Applied::Added, owner, claims)
            }
            Found::Other(owner, claims) => (Applied::Updated, owner, claims),
        };
        let wish = Wish {
            owner,
            tag: tag.as_ref(),
            expiration: *expiration,
            creation: claims.of(owner).map_or(now, |claim| claim.creation),
        };
        self.grant(key, claims, &wish, now, origin)?;
        Ok(applied)
    }

    /// Puts a claim among those on a rule, in place of the same owner's.
    pub(super) fn grant(
        &mut self,
        key: RuleKey,
        claims: Claims,
        wish: &Wish<'_>,
        now: u64,
        origin: &Origin,
    ) -> Result<(), FirewallError> {
        let Wish {
            owner,
            tag,
            expiration,
            creation,
        } = *wish;
        let (tags, counters) = self.tags_mut(key.policy);
        let limit = MAX_TAGS - 1;
        let slot = tags.slot(tag, counters);
        let claim = Claim {
            expiration,
            creation,
            owner,
            slot: slot.ok_or(FirewallError::TooManyTags {
                policy: key.policy,
                limit,
            })?,
        };
        let claims = claims.with(claim, self.owners());
        Ok(self.install(key, claims, now, origin)?)
    }

    fn find(&mut self, policy: Policy, rule: &NewRule, origin: &Origin) -> Found {
        let owner = self.owner_id(&Owner::of(&origin.actor).unwrap_or(Owner::Api));
        let claims = self.table(policy).claims(rule.cidr);
        if claims.shown().is_none() {
            return Found::New(owner, claims);
        }
        let tag_of = |claim: &Claim| self.tags(policy).name(claim.slot);
        match claims.of(owner) {
            Some(own) if own.expiration == rule.expiration && tag_of(own) == rule.tag.as_ref() => {
                Found::Same
            }
            _ => Found::Other(owner, claims),
        }
    }

    /// Adds a rule that is not there yet.
    pub(super) fn add(
        &mut self,
        policy: Policy,
        rule: &NewRule,
        now: u64,
        origin: &Origin,
    ) -> Result<Entry, FirewallError> {
        let key = RuleKey::new(policy, rule.cidr);
        if self.table(policy).shown(key.cidr).is_some() {
            return Err(FirewallError::Exists { key });
        }
        self.upsert(policy, rule, now, origin)?;
        let shown = self.table(policy).shown(key.cidr);
        let entry = shown.map(|claim| self.entry(key, claim));
        entry.ok_or(FirewallError::NotFound { key })
    }

    /// Takes the claim of the origin's owner away. A client takes the API's claim, or, where the API has none, those
    /// of peers: the operator is master of his own machine. What a set defines only the set can take away.
    pub(super) fn remove(
        &mut self,
        key: RuleKey,
        now: u64,
        origin: &Origin,
    ) -> Result<Entry, FirewallError> {
        let claims = self.table(key.policy).claims(key.cidr);
        let entry = claims.shown().map(|claim| self.entry(key, claim));
        let Some(entry) = entry else {
            let kept = self.remove_kept(key, &origin.actor);
            return kept.ok_or(FirewallError::NotFound { key });
        };
        let taken = self.removable(&claims, &origin.actor);
        if taken.is_empty() {
            return Err(self.not_removable(key, &claims));
        }
        let left = claims.without(|claim| taken.contains(&claim.owner));
        self.install(key, left, now, origin)?;
        Ok(entry)
    }

    /// The owners whose claims go when this actor removes the rule.
    pub(super) fn removable(&self, claims: &Claims, actor: &Actor) -> Vec<OwnerId> {
        let own = Owner::of(actor);
        let of = |wanted: &dyn Fn(&Owner) -> bool| -> Vec<OwnerId> {
            let ids = claims.iter().map(|claim| claim.owner);
            ids.filter(|id| wanted(self.owners().get(*id))).collect()
        };
        let taken = of(&|owner| Some(owner) == own.as_ref());
        if taken.is_empty() && matches!(actor, Actor::Client(_)) {
            return of(&|owner| matches!(owner, Owner::Peer(_)));
        }
        taken
    }

    fn not_removable(&self, key: RuleKey, claims: &Claims) -> FirewallError {
        let first_set = claims
            .iter()
            .find_map(|claim| match self.owners().get(claim.owner) {
                Owner::Set(name) => Some(name.clone()),
                _ => None,
            });
        match first_set {
            Some(set) => FirewallError::OfSet { key, set },
            None => FirewallError::NotFound { key },
        }
    }

    /// Takes away up to `most` claims whose time has come. Returns how many, and whether there may be more.
    pub(super) fn expire(&mut self, now: u64, most: usize) -> (usize, bool) {
        let origin = Origin {
            actor: Actor::Expiry,
            metadata: None,
        };
        let mut expired = 0;
        for _ in 0..most {
            let Some((at, key)) = self.deadlines_mut().pop_due(now) else {
                return (expired, false);
            };
            let claims = self.table(key.policy).claims(key.cidr);
            if !claims.iter().any(|claim| claim.expiration == at) {
                self.deadlines_mut().popped_stale();
                continue;
            }
            let left = claims.without(|claim| claim.expiration == at);
            if self.install(key, left, now, &origin).is_ok() {
                // Its claim counts as one that left its entry behind, which is taken out already.
                self.deadlines_mut().popped_stale();
                expired += 1;
            } else {
                // The data plane still has the rule: try again at the next tick.
                self.deadlines_mut().push(at, key);
                return (expired, false);
            }
        }
        (expired, true)
    }
}

pub(super) fn check_expiration(expiration: u64, now: u64) -> Result<(), FirewallError> {
    if expiration == 0 || expiration > now {
        Ok(())
    } else {
        Err(FirewallError::Expired { expiration, now })
    }
}
