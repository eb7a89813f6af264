//! Changes with a record of their effect on claims, and the prediction of it, for commit-confirm.

use couic_common::{Cidr, Entry, Policy, Reason, RuleKey, Tag};

use super::{
    Actor, Applied, CHUNK, Claim, ClaimId, ClaimRequest, ClaimScope, Firewall, FirewallError, Job,
    Owner, core::Core, packed::PackedClaim, tags::TagFilter,
};

/// The effect on one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimChange {
    /// Which rule.
    pub key: RuleKey,
    /// Which claim on it.
    pub claim: ClaimId,
    /// The claim before; None = there was none.
    pub before: Option<Claim>,
    /// The claim now.
    pub after: Option<Claim>,
}

impl ClaimChange {
    /// Whether the claim asks for the same as before.
    pub(crate) fn is_void(&self) -> bool {
        Claim::alike(&self.before, &self.after)
    }
}

impl Firewall {
    /// The effect that jobs of a client will have on claims, as far as it can be predicted without doing them.
    #[must_use]
    pub fn predict(&self, policy: Policy, jobs: &[Job], actor: &Actor) -> Vec<ClaimChange> {
        let mut changes = Vec::with_capacity(jobs.len());
        for chunk in jobs.chunks(CHUNK) {
            self.change(|core, now| {
                for job in chunk {
                    match job {
                        Job::Add(request, metadata) | Job::Extend(request, metadata) => {
                            let mut request = request.clone();
                            if matches!(job, Job::Extend(..)) {
                                request = core.extended(policy, request, actor);
                            }
                            let detail = metadata.as_deref().map(|given| given.detail.as_str());
                            let reason = detail.and_then(Reason::of);
                            let added = core.predict_add(policy, &request, (actor, reason), now);
                            changes.extend(added);
                        }
                        Job::Remove(cidr, scope, _) => {
                            let key = RuleKey::new(policy, *cidr);
                            changes.extend(core.predict_remove(key, scope, actor));
                        }
                    }
                }
            });
        }
        changes
    }

    /// [`Firewall::execute`]; adds what it did to claims to `record`.
    ///
    /// # Errors
    /// As that; nothing has changed then.
    pub(crate) fn execute_recorded(
        &self,
        policy: Policy,
        job: Job,
        actor: Actor,
        record: &mut Vec<ClaimChange>,
    ) -> Result<Entry, FirewallError> {
        self.change(|core, now| {
            core.recorded(job.key(policy), Some(record), |core| {
                core.execute(policy, job, actor, now)
            })
        })
    }

    /// [`Firewall::apply`]; adds what it did to claims to `record`, if there is one.
    pub(crate) fn apply_recorded(
        &self,
        policy: Policy,
        jobs: Vec<Job>,
        actor: &Actor,
        mut record: Option<&mut Vec<ClaimChange>>,
    ) -> Vec<Result<Applied, FirewallError>> {
        let mut results = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.into_iter().peekable();
        while jobs.peek().is_some() {
            self.change(|core, now| {
                let chunk = jobs.by_ref().take(CHUNK);
                results.extend(chunk.map(|job| {
                    core.recorded(job.key(policy), record.as_deref_mut(), |core| {
                        core.apply(policy, job, actor, now)
                    })
                }));
            });
        }
        results
    }

    /// The claims that [`Firewall::remove_by_tag`] would release, as rule and tag: those of the next [`CHUNK`] rules
    /// behind `after`, and the position to continue from; None at the end.
    pub(crate) fn removable_by_tag(
        &self,
        policy: Policy,
        filter: &TagFilter,
        all_owners: bool,
        actor: &Actor,
        after: Option<Cidr>,
    ) -> (Vec<(Cidr, Option<Tag>)>, Option<Cidr>) {
        self.change(|core, _| core.removable_by_tag(policy, filter, all_owners, actor, after))
    }
}

impl Core {
    pub(super) fn removable_by_tag(
        &self,
        policy: Policy,
        filter: &TagFilter,
        all_owners: bool,
        actor: &Actor,
        after: Option<Cidr>,
    ) -> (Vec<(Cidr, Option<Tag>)>, Option<Cidr>) {
        let (table, tags) = (self.table(policy), self.tags(policy));
        let tag = None;
        let scope = ClaimScope { tag, all_owners };
        let is_meant = |claim: &&PackedClaim| {
            filter.means(tags, claim.slot) && self.releases(policy, claim, &scope, actor)
        };
        let (mut found, mut last) = (Vec::new(), None);
        for (cidr, shown) in table.iter_after(after).take(CHUNK) {
            last = Some(cidr);
            let claims = table.all_claims(cidr, shown).filter(is_meant);
            let before = found.len();
            for claim in claims {
                let claim = (cidr, tags.name(claim.slot).cloned());
                // Two owners may have the same tag.
                if !found[before..].contains(&claim) {
                    found.push(claim);
                }
            }
        }
        (found, last)
    }

    /// The claim of the actor, and that of an unknown client which it takes over: see `Core::upsert`.
    fn predict_add(
        &self,
        policy: Policy,
        request: &ClaimRequest,
        (actor, reason): (&Actor, Option<Reason>),
        now: u64,
    ) -> Vec<ClaimChange> {
        let key = request.key(policy);
        let owner = Owner::of(actor).unwrap_or(Owner::Api);
        let claim = ClaimId::new(owner, request.tag.clone());
        let standing = self.saved_claims(key);
        let before = standing.iter().find(|held| held.id() == claim).cloned();
        let unknown = standing.into_iter().find(|held| {
            claim.owner.is_client() && held.owner == Owner::Api && held.tag == request.tag
        });
        let oldest = before.as_ref().or(unknown.as_ref());
        let after = Claim {
            owner: claim.owner.clone(),
            tag: request.tag.clone(),
            expiration: request.expiration,
            creation: oldest.map_or(now, |before| before.creation),
            reason: reason.or_else(|| oldest.and_then(|before| before.reason.clone())),
        };
        let own = ClaimChange {
            key,
            claim,
            before,
            after: Some(after),
        };
        if own.is_void() {
            return Vec::new();
        }
        let taken_over = unknown.map(|claim| released(key, claim));
        [own].into_iter().chain(taken_over).collect()
    }

    fn predict_remove(&self, key: RuleKey, scope: &ClaimScope, actor: &Actor) -> Vec<ClaimChange> {
        let claims = self.saved_claims(key).into_iter();
        let gone = claims.filter(|held| scope.takes(actor, &held.owner, held.tag.as_ref()));
        let mut gone: Vec<ClaimChange> = gone.map(|claim| released(key, claim)).collect();
        // In the order of `differing`, so that what is done is seen to be what was predicted.
        gone.sort_unstable_by(|a, b| a.claim.cmp(&b.claim));
        gone
    }

    /// Makes a change of one rule, and records what it did to claims of clients and peers.
    fn recorded<T>(
        &mut self,
        key: RuleKey,
        record: Option<&mut Vec<ClaimChange>>,
        change: impl FnOnce(&mut Self) -> Result<T, FirewallError>,
    ) -> Result<T, FirewallError> {
        let Some(record) = record else {
            return change(self);
        };
        let before = self.saved_claims(key);
        let outcome = change(self)?;
        record.extend(differing(key, &before, &self.saved_claims(key)));
        Ok(outcome)
    }
}

fn released(key: RuleKey, claim: Claim) -> ClaimChange {
    ClaimChange {
        key,
        claim: claim.id(),
        before: Some(claim),
        after: None,
    }
}

fn differing(key: RuleKey, before: &[Claim], after: &[Claim]) -> Vec<ClaimChange> {
    let of = |claims: &[Claim], id: &ClaimId| claims.iter().find(|c| c.id() == *id).cloned();
    let mut ids: Vec<ClaimId> = before.iter().chain(after).map(Claim::id).collect();
    ids.sort_unstable();
    ids.dedup();
    let changes = ids.into_iter().map(|claim| ClaimChange {
        key,
        before: of(before, &claim),
        after: of(after, &claim),
        claim,
    });
    changes.filter(|change| !change.is_void()).collect()
}
