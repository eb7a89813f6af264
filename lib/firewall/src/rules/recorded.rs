//! Changes with a record of their effect on claims, and the prediction of it, for commit-confirm.

use couic_common::{Cidr, Entry, Policy, RuleKey};

use super::{
    Actor, Applied, CHUNK, Claim, ClaimRequest, Firewall, FirewallError, Job, Owner, core::Core,
    packed::PackedClaim, tags::TagFilter,
};

/// The effect on one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimChange {
    /// Which rule.
    pub key: RuleKey,
    /// Whose claim.
    pub owner: Owner,
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
                        Job::Add(request, _) => {
                            changes.extend(core.predict_add(policy, request, now));
                        }
                        Job::Remove(cidr, _) => {
                            core.predict_remove(RuleKey::new(policy, *cidr), actor, &mut changes);
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

    /// The rules that [`Firewall::remove_by_tag`] would remove claims from: those of the next [`CHUNK`] behind `after`,
    /// and the position to continue from; None at the end.
    pub(crate) fn removable_by_tag(
        &self,
        policy: Policy,
        filter: &TagFilter,
        actor: &Actor,
        after: Option<Cidr>,
    ) -> (Vec<Cidr>, Option<Cidr>) {
        self.change(|core, _| core.removable_by_tag(policy, filter, actor, after))
    }
}

impl Core {
    pub(super) fn removable_by_tag(
        &self,
        policy: Policy,
        filter: &TagFilter,
        actor: &Actor,
        after: Option<Cidr>,
    ) -> (Vec<Cidr>, Option<Cidr>) {
        let (table, tags) = (self.table(policy), self.tags(policy));
        let is_meant = |claim: &PackedClaim| filter.means(tags, claim.slot);
        let (mut found, mut last) = (Vec::new(), None);
        for (cidr, shown) in table.iter_after(after).take(CHUNK) {
            last = Some(cidr);
            if !table.all_claims(cidr, shown).any(is_meant) {
                continue;
            }
            let claims = table.claims(cidr);
            let taken = self.removable(&claims, actor);
            if claims
                .iter()
                .any(|c| is_meant(c) && taken.contains(&c.owner))
            {
                found.push(cidr);
            }
        }
        (found, last)
    }

    fn predict_add(&self, policy: Policy, request: &ClaimRequest, now: u64) -> Option<ClaimChange> {
        let key = request.key(policy);
        let mut claims = self.shared_claims(key).into_iter();
        let before = claims.find(|claim| claim.owner == Owner::Api);
        let after = Claim {
            owner: Owner::Api,
            tag: request.tag.clone(),
            expiration: request.expiration,
            creation: before.as_ref().map_or(now, |before| before.creation),
        };
        let change = ClaimChange {
            key,
            owner: Owner::Api,
            before,
            after: Some(after),
        };
        (!change.is_void()).then_some(change)
    }

    fn predict_remove(&self, key: RuleKey, actor: &Actor, changes: &mut Vec<ClaimChange>) {
        let claims = self.table(key.policy).claims(key.cidr);
        let taken = self.removable(&claims, actor);
        let gone = claims.iter().filter(|claim| taken.contains(&claim.owner));
        changes.extend(gone.map(|claim| {
            let claim = self.unpack(key.policy, claim).to_claim();
            ClaimChange {
                key,
                owner: claim.owner.clone(),
                before: Some(claim),
                after: None,
            }
        }));
    }

    /// Makes a change of one rule, and records what it did to claims of the API and of peers.
    fn recorded<T>(
        &mut self,
        key: RuleKey,
        record: Option<&mut Vec<ClaimChange>>,
        change: impl FnOnce(&mut Self) -> Result<T, FirewallError>,
    ) -> Result<T, FirewallError> {
        let Some(record) = record else {
            return change(self);
        };
        let before = self.shared_claims(key);
        let outcome = change(self)?;
        record.extend(differing(key, &before, &self.shared_claims(key)));
        Ok(outcome)
    }
}

fn differing(key: RuleKey, before: &[Claim], after: &[Claim]) -> Vec<ClaimChange> {
    let of = |claims: &[Claim], owner: &Owner| claims.iter().find(|c| c.owner == *owner).cloned();
    let owners = before.iter().chain(after).map(|claim| &claim.owner);
    let mut owners: Vec<&Owner> = owners.collect();
    owners.sort_unstable();
    owners.dedup();
    let changes = owners.into_iter().map(|owner| ClaimChange {
        key,
        owner: owner.clone(),
        before: of(before, owner),
        after: of(after, owner),
    });
    changes.filter(|change| !change.is_void()).collect()
}
