//! Compare and set of claims.
//!
//! A caller that decides on the claims that it has seen puts others in their place with [`Firewall::swap`], provided
//! that those still stand. So a change in between is never lost: peering and commit-confirm look again instead.

use couic_common::{Cidr, Policy, RuleKey};

use super::{
    Applied, CHUNK, Claim, ClaimRef, Firewall, FirewallError, Origin, Owner, Subscription,
    change::check_expiration,
    core::Core,
    packed::{Claims, PackedClaim},
};

/// Claims on a rule that are to be replaced.
#[derive(Clone, Debug)]
pub struct ClaimSwap {
    /// Which rule.
    pub key: RuleKey,
    /// Whose claims are compared and replaced; None = those of the API and of all peers.
    pub owner: Option<Owner>,
    /// The claims that the caller has seen.
    pub expected: Vec<Claim>,
    /// The claims to replace them.
    pub wanted: Option<Claim>,
}

/// The outcome of a swap.
#[derive(Debug)]
pub enum Swapped {
    /// The wanted claims are in place.
    Done(Applied),
    /// The claims were changed meanwhile: nothing was done.
    Moved,
    /// Nothing was done.
    Refused(FirewallError),
}

impl Swapped {
    /// Whether the wanted claims are in place.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

impl ClaimSwap {
    fn concerns(&self, owner: &Owner) -> bool {
        match &self.owner {
            Some(one) => one == owner,
            None => !owner.is_set(),
        }
    }
}

impl Firewall {
    /// The claims of the API and of peers on a rule, the API's first, and the time of this reading.
    #[must_use]
    pub fn claims(&self, key: RuleKey) -> (Vec<Claim>, u64) {
        self.change(|core, now| (core.shared_claims(key), now))
    }

    /// Up to `most` rules behind `after` with their claims of the API and of peers, and when the oldest claim of all
    /// was made. Empty at the end.
    #[must_use]
    pub fn claims_page(
        &self,
        policy: Policy,
        after: Option<Cidr>,
        most: usize,
    ) -> Vec<(Cidr, Vec<Claim>, u64)> {
        self.change(|core, _| {
            let table = core.table(policy);
            let some = table.iter_after(after).take(most.min(CHUNK));
            some.map(|(cidr, shown)| {
                let claims = table.all_claims(cidr, shown);
                let creation = claims.map(|claim| claim.creation).min();
                let shared = core.shared_claims(RuleKey::new(policy, cidr));
                (cidr, shared, creation.unwrap_or(0))
            })
            .collect()
        })
    }

    /// Replaces claims, each swap by itself. One whose claims are as wanted already is done.
    pub fn swap(&self, swaps: Vec<ClaimSwap>, origin: &Origin) -> Vec<Swapped> {
        let mut results = Vec::with_capacity(swaps.len());
        let mut swaps = swaps.into_iter().peekable();
        while swaps.peek().is_some() {
            self.change(|core, now| {
                let chunk = swaps.by_ref().take(CHUNK);
                results.extend(chunk.map(|swap| core.swap(&swap, now, origin)));
            });
        }
        results
    }

    /// Subscribes to the changes of claims that do not change the entry shown. Their events name the rule, and show its
    /// claims before and after.
    #[must_use]
    pub fn subscribe_hidden(&self, capacity: usize) -> Subscription {
        self.core.lock().hidden.subscribe(capacity)
    }
}

impl Core {
    /// The claims of the API and of peers.
    pub(super) fn shared_claims(&self, key: RuleKey) -> Vec<Claim> {
        self.unpacked(key, |owner| !owner.is_set())
    }

    fn unpacked(&self, key: RuleKey, is_meant: impl Fn(&Owner) -> bool) -> Vec<Claim> {
        let claims = self.table(key.policy).claims(key.cidr);
        let claims = claims.iter().map(|claim| self.unpack(key.policy, claim));
        let meant = claims.filter(|claim| is_meant(claim.owner));
        meant.map(ClaimRef::to_claim).collect()
    }

    fn swap(&mut self, swap: &ClaimSwap, now: u64, origin: &Origin) -> Swapped {
        let standing = self.unpacked(swap.key, |owner| swap.concerns(owner));
        if Claim::alike(&standing, &swap.wanted) {
            return Swapped::Done(Applied::Unchanged);
        }
        if !Claim::alike(&standing, &swap.expected) {
            return Swapped::Moved;
        }
        if let Err(error) = self.replace(swap, now, origin) {
            return Swapped::Refused(error);
        }
        Swapped::Done(match (standing.is_empty(), &swap.wanted) {
            (true, _) => Applied::Added,
            (false, Some(_)) => Applied::Updated,
            (false, None) => Applied::Removed,
        })
    }

    fn replace(
        &mut self,
        swap: &ClaimSwap,
        now: u64,
        origin: &Origin,
    ) -> Result<(), FirewallError> {
        let key = swap.key;
        let claims = self.table(key.policy).claims(key.cidr);
        let is_new = claims.shown().is_none();
        let concerned = |claim: &PackedClaim| swap.concerns(self.owners().get(claim.owner));
        let rest: Claims = claims.without(concerned);
        let Some(wanted) = &swap.wanted else {
            return Ok(self.install(key, rest, now, origin)?);
        };
        check_expiration(wanted.expiration, now)?;
        let owner = self.owner_id(&wanted.owner);
        if is_new {
            self.check_share(key, owner, &origin.actor)?;
        }
        let claim = PackedClaim {
            expiration: wanted.expiration,
            creation: wanted.creation,
            owner,
            slot: self.slot_for(key.policy, wanted.tag.as_ref(), owner, &origin.actor)?,
        };
        let claims = rest.with(claim, self.owners());
        Ok(self.install(key, claims, now, origin)?)
    }
}
