//! Single changes of rules: add, renew, remove, expire. Each ends in one [`Core::install`].

use couic_common::{Entry, Policy, RuleKey, Tag};

use super::{
    Actor, Applied, ClaimRequest, FirewallError, Job, Origin, Owner,
    core::Core,
    packed::{Claims, OwnerId, PackedClaim},
};
use crate::dataplane::{MAX_TAGS, TagSlot};

/// The state that an add found.
enum Found {
    New(OwnerId, Claims),
    Same,
    Other(OwnerId, Claims),
}

impl Core {
    /// A job that has to be a change: an existing rule is not added, a missing one not removed.
    pub(super) fn execute(
        &mut self,
        policy: Policy,
        job: Job,
        actor: Actor,
        now: u64,
    ) -> Result<Entry, FirewallError> {
        match job {
            Job::Add(request, metadata) => {
                self.add(policy, &request, now, &Origin { actor, metadata })
            }
            Job::Remove(cidr, metadata) => {
                let key = RuleKey::new(policy, cidr);
                self.remove(key, now, &Origin { actor, metadata })
            }
        }
    }

    /// A job of a batch: an existing rule is renewed, a missing one needs no removal.
    pub(super) fn apply(
        &mut self,
        policy: Policy,
        job: Job,
        actor: &Actor,
        now: u64,
    ) -> Result<Applied, FirewallError> {
        let origin = |metadata| Origin {
            actor: actor.clone(),
            metadata,
        };
        let (cidr, metadata) = match job {
            Job::Add(request, metadata) => {
                return self.upsert(policy, &request, now, &origin(metadata));
            }
            Job::Remove(cidr, metadata) => (cidr, metadata),
        };
        match self.remove(RuleKey::new(policy, cidr), now, &origin(metadata)) {
            Ok(_) => Ok(Applied::Removed),
            Err(FirewallError::NotFound { .. }) => Ok(Applied::Unchanged),
            Err(FirewallError::OfSet { .. }) if matches!(actor, Actor::Peer(_)) => {
                Ok(Applied::Unchanged)
            }
            Err(error) => Err(error),
        }
    }

    /// Adds a rule, or renews the claim of the origin's owner: the later tag and expiration win.
    pub(super) fn upsert(
        &mut self,
        policy: Policy,
        request: &ClaimRequest,
        now: u64,
        origin: &Origin,
    ) -> Result<Applied, FirewallError> {
        let key = request.key(policy);
        check_expiration(request.expiration, now)?;
        let (applied, owner, claims) = match self.find(policy, request, origin) {
            Found::Same => return Ok(Applied::Unchanged),
            Found::New(owner, claims) => {
                self.check_share(key, owner, &origin.actor)?;
                (Applied::Added, owner, claims)
            }
            Found::Other(owner, claims) => (Applied::Updated, owner, claims),
        };
        let claim = PackedClaim {
            expiration: request.expiration,
            creation: claims.of(owner).map_or(now, |claim| claim.creation),
            owner,
            slot: self.slot_for(policy, request.tag.as_ref(), owner, &origin.actor)?,
        };
        let claims = claims.with(claim, self.owners());
        self.install(key, claims, now, origin)?;
        Ok(applied)
    }

    /// The slot of a tag, a new one if need be.
    pub(super) fn slot(
        &mut self,
        policy: Policy,
        tag: Option<&Tag>,
    ) -> Result<TagSlot, FirewallError> {
        let (tags, counters) = self.tags_mut(policy);
        let limit = MAX_TAGS - 1;
        tags.slot(tag, counters)
            .ok_or(FirewallError::TooManyTags { policy, limit })
    }

    fn find(&mut self, policy: Policy, request: &ClaimRequest, origin: &Origin) -> Found {
        let owner = self.owner_id(&Owner::of(&origin.actor).unwrap_or(Owner::Api));
        let claims = self.table(policy).claims(request.cidr);
        if claims.shown().is_none() {
            return Found::New(owner, claims);
        }
        let tag_of = |claim: &PackedClaim| self.tags(policy).name(claim.slot);
        let is_same = |own: &PackedClaim| {
            own.expiration == request.expiration && tag_of(own) == request.tag.as_ref()
        };
        if claims.of(owner).is_some_and(is_same) {
            Found::Same
        } else {
            Found::Other(owner, claims)
        }
    }

    /// Adds a rule that is not there yet.
    pub(super) fn add(
        &mut self,
        policy: Policy,
        request: &ClaimRequest,
        now: u64,
        origin: &Origin,
    ) -> Result<Entry, FirewallError> {
        let key = request.key(policy);
        if self.table(policy).shown(key.cidr).is_some() {
            return Err(FirewallError::Exists { key });
        }
        self.upsert(policy, request, now, origin)?;
        let shown = self.table(policy).shown(key.cidr);
        let entry = shown.map(|claim| self.entry(key, claim));
        entry.ok_or(FirewallError::NotFound { key })
    }

    /// Removes the claim of the origin's owner. A client removes the API's claim or, if the API has none, those of
    /// peers: the operator is master of his own machine. Claims of a set are removed by the set alone.
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
