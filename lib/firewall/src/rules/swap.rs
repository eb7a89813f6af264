//! Compare and set of claims.
//!
//! A caller that decides on the claims that it has seen puts others in their place with [`Firewall::swap`], provided
//! that those still stand. So a change in between is never lost: peering and commit-confirm look again instead.
//!
//! Peering shares one state of a rule, so it sees all claims of clients as one, of [`Owner::Api`]: under the tag of the
//! one that is shown, until the last of them ends. Putting that one in the place of others leaves the clients their
//! claims, and removes those of peers.

use couic_common::{Cidr, Policy, RuleKey, Tag};

use super::{
    Applied, CHUNK, Claim, ClaimId, ClaimRef, Firewall, FirewallError, Origin, Owner, Subscription,
    change::{check_expiration, whose},
    core::Core,
    packed::{Claims, PackedClaim},
};

/// Claims on a rule that are to be replaced.
#[derive(Clone, Debug)]
pub struct ClaimSwap {
    /// Which rule.
    pub key: RuleKey,
    /// Whose claims are compared and replaced: of a client, the one under the tag of the claims given. None = those of
    /// all clients, as one, and of all peers.
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
    /// The one claim that is concerned, if it is one.
    fn claim(&self) -> Option<ClaimId> {
        let owner = self.owner.clone()?;
        let given = self.expected.first().or(self.wanted.as_ref());
        Some(ClaimId::new(
            owner,
            given.and_then(|claim| claim.tag.clone()),
        ))
    }
}

impl Firewall {
    /// The claims of clients, as one, and of peers on a rule, and the time of this reading.
    #[must_use]
    pub fn claims(&self, key: RuleKey) -> (Vec<Claim>, u64) {
        self.change(|core, now| (core.shared_claims(key), now))
    }

    /// Every claim on a rule, the shown one first.
    #[must_use]
    pub fn all_claims(&self, key: RuleKey) -> Vec<Claim> {
        self.change(|core, _| core.unpacked(key, |_| true))
    }

    /// Up to `most` rules behind `after` with their claims of clients, as one, and of peers, and when the oldest claim of all
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
    /// The claims of clients, each, and of peers.
    pub(super) fn saved_claims(&self, key: RuleKey) -> Vec<Claim> {
        self.unpacked(key, |owner| !owner.is_set())
    }

    /// The claims of clients, as one, and of peers.
    fn shared_claims(&self, key: RuleKey) -> Vec<Claim> {
        let (clients, peers): (Vec<Claim>, Vec<Claim>) = self
            .saved_claims(key)
            .into_iter()
            .partition(|claim| claim.owner.is_client());
        as_one(clients).into_iter().chain(peers).collect()
    }

    fn unpacked(&self, key: RuleKey, is_meant: impl Fn(&Owner) -> bool) -> Vec<Claim> {
        let claims = self.table(key.policy).claims(key.cidr);
        let claims = claims.iter().map(|claim| self.unpack(key.policy, claim));
        let meant = claims.filter(|claim| is_meant(claim.owner));
        meant.map(ClaimRef::to_claim).collect()
    }

    fn swap(&mut self, swap: &ClaimSwap, now: u64, origin: &Origin) -> Swapped {
        let one = swap.claim();
        let standing = match &one {
            None => self.shared_claims(swap.key),
            Some(id) => {
                let saved = self.saved_claims(swap.key).into_iter();
                saved.filter(|claim| claim.id() == *id).collect()
            }
        };
        if Claim::alike(&standing, &swap.wanted) {
            return Swapped::Done(Applied::Unchanged);
        }
        if !Claim::alike(&standing, &swap.expected) {
            return Swapped::Moved;
        }
        // The clients' claims are what is wanted already: only those of peers go.
        let keeps_clients = one.is_none()
            && (swap.wanted.as_ref()).is_some_and(|wanted| {
                let first = standing.first();
                first
                    .is_some_and(|first| first.owner.is_client() && Claim::alike([first], [wanted]))
            });
        let gone = |owner: &Owner, tag: Option<&Tag>| match &one {
            None if owner.is_client() => !keeps_clients,
            None => !owner.is_set(),
            Some(id) => ClaimId::new(owner.clone(), tag.cloned()) == *id,
        };
        let wanted = swap.wanted.as_ref().filter(|_| !keeps_clients);
        if let Err(error) = self.replace(swap.key, gone, wanted, now, origin) {
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
        key: RuleKey,
        gone: impl Fn(&Owner, Option<&Tag>) -> bool,
        wanted: Option<&Claim>,
        now: u64,
        origin: &Origin,
    ) -> Result<(), FirewallError> {
        let claims = self.table(key.policy).claims(key.cidr);
        let is_new = claims.shown().is_none();
        let rest: Claims = claims.without(|claim| {
            let claim = self.unpack(key.policy, claim);
            gone(claim.owner, claim.tag)
        });
        let Some(wanted) = wanted else {
            return Ok(self.install(key, rest, now, origin)?);
        };
        check_expiration(wanted.expiration, now)?;
        let owner = self.owner_id(&wanted.owner);
        if is_new {
            self.check_share(key, owner, &origin.actor)?;
        } else if owner.is_client() {
            self.check_claims(key, &rest, owner)?;
        }
        let slot = self.slot_for(key.policy, wanted.tag.as_ref(), owner, &origin.actor)?;
        let whose = whose(&origin.actor);
        let reason = (self.reasons_mut()).hold_reason(wanted.reason.as_ref(), whose);
        let claim = PackedClaim {
            expiration: wanted.expiration,
            creation: wanted.creation,
            owner,
            slot,
            reason,
        };
        let claims = rest.with(claim, self.owners());
        let installed = self.install(key, claims, now, origin);
        self.reasons_mut().release(reason);
        Ok(installed?)
    }
}

/// The claims of clients as peering sees them.
fn as_one(clients: Vec<Claim>) -> Option<Claim> {
    let ends = clients.iter().map(|claim| claim.expiration);
    let expiration = if ends.clone().any(|end| end == 0) {
        0
    } else {
        ends.max().unwrap_or(0)
    };
    let creation = clients.iter().map(|claim| claim.creation).min();
    let shown = clients.into_iter().next()?;
    Some(Claim {
        owner: Owner::Api,
        tag: shown.tag,
        expiration,
        creation: creation.unwrap_or(0),
        reason: shown.reason,
    })
}
