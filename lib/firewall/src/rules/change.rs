//! Single changes of rules: add, renew, remove, expire. Each ends in one [`Core::install`].

use couic_common::{Entry, Policy, Reason, ReasonId, ReasonOf, RuleKey, Tag};

use super::{
    Actor, Applied, ClaimRef, ClaimRequest, ClaimScope, FirewallError, Job, Origin, Owner,
    core::Core,
    packed::{Claims, PackedClaim},
};
use crate::dataplane::{MAX_TAGS, TagSlot};

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
            Job::Extend(request, metadata) => {
                let key = request.key(policy);
                let request = self.extended(policy, request, &actor);
                self.upsert(policy, &request, now, &Origin { actor, metadata })?;
                self.shown(key)
            }
            Job::Remove(cidr, scope, metadata) => {
                let key = RuleKey::new(policy, cidr);
                self.remove(key, &scope, now, &Origin { actor, metadata })
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
        let (cidr, scope, metadata) = match job {
            Job::Add(request, metadata) => {
                return self.upsert(policy, &request, now, &origin(metadata));
            }
            Job::Extend(request, metadata) => {
                let request = self.extended(policy, request, actor);
                return self.upsert(policy, &request, now, &origin(metadata));
            }
            Job::Remove(cidr, scope, metadata) => (cidr, scope, metadata),
        };
        let key = RuleKey::new(policy, cidr);
        match self.remove(key, &scope, now, &origin(metadata)) {
            Ok(_) if self.table(policy).shown(cidr).is_some() => Ok(Applied::Released),
            Ok(_) => Ok(Applied::Removed),
            Err(FirewallError::NotFound { .. } | FirewallError::NoClaim { .. }) => {
                Ok(Applied::Unchanged)
            }
            Err(FirewallError::OfSet { .. } | FirewallError::OfOthers { .. })
                if matches!(actor, Actor::Peer(_)) =>
            {
                Ok(Applied::Unchanged)
            }
            Err(error) => Err(error),
        }
    }

    /// Adds a rule, or renews the claim of the origin's owner; a client's, under that tag. Claims of others stay, but for
    /// that of an unknown client under the same tag, which it takes over.
    pub(super) fn upsert(
        &mut self,
        policy: Policy,
        request: &ClaimRequest,
        now: u64,
        origin: &Origin,
    ) -> Result<Applied, FirewallError> {
        let key = request.key(policy);
        check_expiration(request.expiration, now)?;
        let owner = self.owner_id(&Owner::of(&origin.actor).unwrap_or(Owner::Api));
        self.admit_one(key, now);
        let claims = self.table(policy).claims(key.cidr);
        let tag_of = |claim: &PackedClaim| self.tags(policy).name(claim.slot);
        let is_own = |claim: &PackedClaim| {
            claim.owner == owner && (!owner.is_client() || tag_of(claim) == request.tag.as_ref())
        };
        let is_unknown = |claim: &PackedClaim| {
            let unknown = *self.owners().get(claim.owner) == Owner::Api;
            owner.is_client() && unknown && tag_of(claim) == request.tag.as_ref()
        };
        let own = claims.iter().find(|claim| is_own(claim)).copied();
        let unknown = claims.iter().find(|claim| is_unknown(claim)).copied();
        if own.is_some_and(|own| {
            own.expiration == request.expiration
                && tag_of(&own) == request.tag.as_ref()
                && !self.is_new_reason(own.reason, origin)
        }) {
            return Ok(Applied::Unchanged);
        }
        let before = own.or(unknown);
        if claims.shown().is_none() {
            self.check_share(key, owner, &origin.actor)?;
        } else if before.is_none() && owner.is_client() {
            self.check_claims(key, &claims, owner)?;
        }
        let applied = match claims.shown() {
            None => Applied::Added,
            Some(_) => Applied::Updated,
        };
        let slot = self.slot_for(policy, request.tag.as_ref(), owner, &origin.actor)?;
        let reason = self.hold_reason_of(origin, before.map(|claim| claim.reason));
        let claim = PackedClaim {
            expiration: request.expiration,
            creation: before.map_or(now, |claim| claim.creation),
            owner,
            slot,
            reason,
        };
        let claims = claims.without(|other| Some(*other) == unknown);
        let claims = claims.with(claim, self.owners());
        let installed = self.install(key, claims, now, origin);
        self.reasons_mut().release(reason);
        Ok(installed.map(|()| applied)?)
    }

    /// Holds the reason that a request gives for a claim or, if it gives none, that of the claim before.
    fn hold_reason_of(&mut self, origin: &Origin, before: Option<ReasonId>) -> ReasonId {
        let whose = whose(&origin.actor);
        let reasons = self.reasons_mut();
        match origin.reason() {
            Some(text) => reasons.hold_text(text, whose),
            None => {
                let kept = before.unwrap_or(ReasonId::NONE);
                reasons.hold(kept);
                kept
            }
        }
    }

    /// Whether a request gives another reason than a claim has, and that would be kept.
    fn is_new_reason(&self, id: ReasonId, origin: &Origin) -> bool {
        let Some(given) = origin.reason().and_then(Reason::of) else {
            return false;
        };
        let reasons = self.reasons();
        reasons.get(id) != Some(&given) && reasons.would_keep(&given, whose(&origin.actor))
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
        self.shown(key)
    }

    fn shown(&self, key: RuleKey) -> Result<Entry, FirewallError> {
        let shown = self.table(key.policy).shown(key.cidr);
        let entry = shown.map(|claim| self.entry(key, claim));
        entry.ok_or(FirewallError::NotFound { key })
    }

    /// The request with the expiration that does not shorten the claim that it renews, or takes over.
    pub(super) fn extended(
        &self,
        policy: Policy,
        mut request: ClaimRequest,
        actor: &Actor,
    ) -> ClaimRequest {
        let owner = Owner::of(actor).unwrap_or(Owner::Api);
        for claim in self.table(policy).claims(request.cidr).iter() {
            let held = self.unpack(policy, claim);
            // A peer has one claim, whatever its tag.
            let is_own = *held.owner == owner;
            let is_taken_over = owner.is_client() && *held.owner == Owner::Api;
            let is_tagged = held.tag == request.tag.as_ref() || !owner.is_client();
            if (is_own || is_taken_over) && is_tagged {
                request.expiration = later(request.expiration, held.expiration);
            }
        }
        request
    }

    /// Releases the claims that the origin's actor has or, if it asks for all owners, all but those of sets. Returns the
    /// rule as it was shown.
    pub(super) fn remove(
        &mut self,
        key: RuleKey,
        scope: &ClaimScope,
        now: u64,
        origin: &Origin,
    ) -> Result<Entry, FirewallError> {
        let claims = self.table(key.policy).claims(key.cidr);
        let Some(entry) = claims.shown().map(|claim| self.entry(key, claim)) else {
            let kept = self.remove_kept(key, scope, &origin.actor);
            return kept.ok_or(FirewallError::NotFound { key });
        };
        let count = claims.iter().count();
        let left = claims.without(|claim| self.releases(key.policy, claim, scope, &origin.actor));
        if left.iter().count() == count {
            return Err(self.not_released(key, &left, scope, now));
        }
        self.install(key, left, now, origin)?;
        Ok(entry)
    }

    /// Whether an actor releases a claim.
    pub(super) fn releases(
        &self,
        policy: Policy,
        claim: &PackedClaim,
        scope: &ClaimScope,
        actor: &Actor,
    ) -> bool {
        let claim = self.unpack(policy, claim);
        scope.takes(actor, claim.owner, claim.tag)
    }

    fn not_released(
        &self,
        key: RuleKey,
        claims: &Claims,
        scope: &ClaimScope,
        now: u64,
    ) -> FirewallError {
        let refs = || claims.iter().map(|claim| self.unpack(key.policy, claim));
        let holders = || refs().map(ClaimRef::shown).collect();
        if let Some(tag) = scope.tag.clone() {
            let holders = holders();
            return FirewallError::NoClaim {
                key,
                tag,
                holders,
                now,
            };
        }
        let others = refs().any(|claim| !claim.owner.is_set());
        match refs().next().map(|claim| claim.owner.clone()) {
            Some(Owner::Set(set)) if !others => FirewallError::OfSet { key, set },
            _ => {
                let holders = holders();
                FirewallError::OfOthers { key, holders, now }
            }
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

/// Whose share of the reasons an actor uses.
pub(super) const fn whose(actor: &Actor) -> ReasonOf {
    match actor {
        Actor::Peer(_) => ReasonOf::Peer,
        Actor::Client(_) | Actor::Set(_) | Actor::Expiry => ReasonOf::Own,
    }
}

/// The later of two expirations; 0 = never.
fn later(a: u64, b: u64) -> u64 {
    if a == 0 || b == 0 { 0 } else { a.max(b) }
}

pub(super) fn check_expiration(expiration: u64, now: u64) -> Result<(), FirewallError> {
    if expiration == 0 || expiration > now {
        Ok(())
    } else {
        Err(FirewallError::Expired { expiration, now })
    }
}
