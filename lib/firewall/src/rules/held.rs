//! What the API and the peers want of rules: the claims that nodes share, apart from those of sets.
//!
//! [`Firewall::settle`] puts one claim in place of all of these, provided that they are still what the caller has seen:
//! so whoever shares rules decides on what holds, and nobody's change in between is lost.

use couic_common::{Cidr, ClientName, Policy, RuleKey, Tag};

use super::{
    Actor, Applied, Firewall, FirewallError, Origin, SPELL, Subscription,
    change::{Wish, check_expiration},
    claims::{Claim, Claims, Owner},
    core::Core,
};

/// Whose claim it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// All clients together.
    Api,
    /// A peer, by name.
    Peer(ClientName),
}

/// A claim of the API or of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whose.
    pub holder: Holder,
    /// The label.
    pub tag: Option<Tag>,
    /// Unix seconds; 0 = never.
    pub expiration: u64,
}

/// A rule's claims are to be replaced.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The network.
    pub cidr: Cidr,
    /// What the caller has seen.
    pub seen: Vec<Held>,
    /// What is to hold instead.
    pub wanted: Option<Held>,
}

/// What became of it.
#[derive(Debug)]
pub enum Settled {
    /// It holds.
    Done(Applied),
    /// Somebody changed the claims meanwhile: nothing was done.
    Moved,
    /// Nothing was done.
    Refused(FirewallError),
}

impl Settled {
    /// Whether it holds.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

impl Holder {
    pub(super) fn of(owner: &Owner) -> Option<Self> {
        match owner {
            Owner::Set(_) => None,
            Owner::Api => Some(Self::Api),
            Owner::Peer(name) => Some(Self::Peer(name.clone())),
        }
    }

    pub(super) fn owner(&self) -> Owner {
        match self {
            Self::Api => Owner::Api,
            Self::Peer(name) => Owner::Peer(name.clone()),
        }
    }
}

impl Firewall {
    /// The claims of the API and of peers on a rule, the API's first, and the time of this reading.
    #[must_use]
    pub fn held(&self, key: RuleKey) -> (Vec<Held>, u64) {
        self.change(|core, now| {
            (
                core.held(key.policy, &core.table(key.policy).claims(key.cidr)),
                now,
            )
        })
    }

    /// Up to `most` rules behind `after` with their claims of the API and of peers, and when the oldest of these was
    /// made. Empty at the end.
    #[must_use]
    pub fn held_page(
        &self,
        policy: Policy,
        after: Option<Cidr>,
        most: usize,
    ) -> Vec<(Cidr, Vec<Held>, u64)> {
        self.change(|core, _| {
            let table = core.table(policy);
            let some = table.iter_after(after).take(most.min(SPELL));
            some.map(|(cidr, _)| {
                let claims = table.claims(cidr);
                let creation = claims.iter().map(|claim| claim.creation).min();
                (cidr, core.held(policy, &claims), creation.unwrap_or(0))
            })
            .collect()
        })
    }

    /// Puts one claim in place of all those that [`Firewall::held`] names, for each of these rules.
    pub fn settle(&self, policy: Policy, jobs: Vec<Settle>, actor: &Actor) -> Vec<Settled> {
        let origin = Origin {
            actor: actor.clone(),
            metadata: None,
        };
        let mut results = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.into_iter().peekable();
        while jobs.peek().is_some() {
            self.change(|core, now| {
                let spell = jobs.by_ref().take(SPELL);
                results.extend(spell.map(|job| core.settle(policy, job, now, &origin)));
            });
        }
        results
    }

    /// Follows the changes of claims that do not change what is shown, from now on. Their events say which rule it is,
    /// and show it as it was and is.
    #[must_use]
    pub fn subscribe_hidden(&self, capacity: usize) -> Subscription {
        self.core.lock().hidden.subscribe(capacity)
    }
}

impl Core {
    fn held(&self, policy: Policy, claims: &Claims) -> Vec<Held> {
        let held = |claim: &Claim| {
            Some(Held {
                holder: Holder::of(self.owners().get(claim.owner))?,
                tag: self.tags(policy).name(claim.slot).cloned(),
                expiration: claim.expiration,
            })
        };
        claims.iter().filter_map(held).collect()
    }

    fn settle(&mut self, policy: Policy, job: Settle, now: u64, origin: &Origin) -> Settled {
        let Settle { cidr, seen, wanted } = job;
        let claims = self.table(policy).claims(cidr);
        if self.held(policy, &claims) != seen {
            return Settled::Moved;
        }
        match self.replace(RuleKey::new(policy, cidr), (claims, wanted), now, origin) {
            Ok(applied) => Settled::Done(applied),
            Err(error) => Settled::Refused(error),
        }
    }

    fn replace(
        &mut self,
        key: RuleKey,
        (claims, wanted): (Claims, Option<Held>),
        now: u64,
        origin: &Origin,
    ) -> Result<Applied, FirewallError> {
        let is_new = claims.shown().is_none();
        let shared = |claim: &Claim| Holder::of(self.owners().get(claim.owner)).is_some();
        let creation = claims
            .iter()
            .filter(|c| shared(c))
            .map(|c| c.creation)
            .min();
        let had = creation.is_some();
        let rest = claims.without(shared);
        let Some(wanted) = wanted else {
            self.install(key, rest, now, origin)?;
            return Ok(if had {
                Applied::Removed
            } else {
                Applied::Unchanged
            });
        };
        check_expiration(wanted.expiration, now)?;
        if is_new {
            self.check_room(key)?;
        }
        let wish = Wish {
            owner: self.owner_id(&wanted.holder.owner()),
            tag: wanted.tag.as_ref(),
            expiration: wanted.expiration,
            creation: creation.unwrap_or(now),
        };
        self.grant(key, rest, &wish, now, origin)?;
        Ok(if had {
            Applied::Updated
        } else {
            Applied::Added
        })
    }
}
