//! Changes of claims that are seen while they are made, and undone by comparing: what commit-confirm needs.
//!
//! The `*_seen` calls do what their namesakes do, and tell besides which claims of the API and of peers were there before
//! and after, both under one hold of the lock. [`Firewall::exchange`] puts a claim in place of another only where that
//! one still stands, so that whoever changed it meanwhile is not overruled.

use couic_common::{Cidr, Entry, Policy, RuleKey, Tag, TagPattern};
use serde::{Deserialize, Serialize};

use super::{
    Actor, Applied, Firewall, FirewallError, Holder, Job, NewRule, Origin, SPELL, apply_one,
    change::Wish,
    claims::{Claim, Claims},
    core::Core,
};

/// A claim without its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimState {
    /// The label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Unix seconds; 0 = never.
    pub expiration: u64,
    /// Unix seconds.
    pub creation: u64,
}

impl ClaimState {
    /// Whether both ask for the same. When they were made is nobody's wish.
    #[must_use]
    pub fn same(one: Option<&Self>, other: Option<&Self>) -> bool {
        let wish = |state: &Self| (state.tag.clone(), state.expiration);
        one.map(wish) == other.map(wish)
    }
}

/// What became of one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimChange {
    /// Which rule.
    pub key: RuleKey,
    /// Whose claim.
    pub holder: Holder,
    /// What it was; None = there was none.
    pub before: Option<ClaimState>,
    /// What it is now.
    pub after: Option<ClaimState>,
}

/// What became of an exchange.
#[derive(Debug)]
pub enum Exchanged {
    /// The claim is as wanted.
    Done,
    /// Somebody has changed it meanwhile: nothing was done.
    Moved,
    /// Nothing was done.
    Refused(FirewallError),
}

type States = Vec<(Holder, ClaimState)>;

impl Firewall {
    /// What a job is going to do to claims, as far as can be told without doing it.
    #[must_use]
    pub fn foretell(&self, policy: Policy, job: &Job, actor: &Actor) -> Vec<ClaimChange> {
        self.change(|core, now| match job {
            Job::Add(rule, _) => core.foretell_add(policy, rule, now),
            Job::Remove(cidr, _) => core.foretell_remove(RuleKey::new(policy, *cidr), actor),
        })
    }

    /// [`Firewall::add`].
    ///
    /// # Errors
    /// As that; nothing has changed then.
    pub fn add_seen(
        &self,
        policy: Policy,
        rule: &NewRule,
        origin: &Origin,
    ) -> Result<(Entry, Vec<ClaimChange>), FirewallError> {
        self.change(|core, now| {
            let add = |core: &mut Core| core.add(policy, rule, now, origin);
            let (entry, seen) = core.seen(RuleKey::new(policy, rule.cidr), add);
            Ok((entry?, seen))
        })
    }

    /// [`Firewall::remove`].
    ///
    /// # Errors
    /// As that; nothing has changed then.
    pub fn remove_seen(
        &self,
        key: RuleKey,
        origin: &Origin,
    ) -> Result<(Entry, Vec<ClaimChange>), FirewallError> {
        self.change(|core, now| {
            let remove = |core: &mut Core| core.remove(key, now, origin);
            let (entry, seen) = core.seen(key, remove);
            Ok((entry?, seen))
        })
    }

    /// [`Firewall::apply`] for one job.
    ///
    /// # Errors
    /// As that; nothing has changed then.
    pub fn apply_seen(
        &self,
        policy: Policy,
        job: Job,
        actor: &Actor,
    ) -> Result<(Applied, Vec<ClaimChange>), FirewallError> {
        let cidr = match &job {
            Job::Add(rule, _) => rule.cidr,
            Job::Remove(cidr, _) => *cidr,
        };
        self.change(|core, now| {
            let apply = |core: &mut Core| apply_one(core, policy, job, actor, now);
            let (applied, seen) = core.seen(RuleKey::new(policy, cidr), apply);
            Ok((applied?, seen))
        })
    }

    /// The rules behind `after` that [`Firewall::remove_by_tag`] would take claims from, as far as one look goes, and
    /// where to look on; None at the end.
    #[must_use]
    pub fn removable_by_tag(
        &self,
        policy: Policy,
        pattern: &TagPattern,
        actor: &Actor,
        after: Option<Cidr>,
    ) -> (Vec<Cidr>, Option<Cidr>) {
        self.change(|core, _| {
            let meant = core.tags(policy).matching(pattern);
            let (mut found, mut last) = (Vec::new(), None);
            for (cidr, _) in core.table(policy).iter_after(after).take(SPELL) {
                last = Some(cidr);
                let claims = core.table(policy).claims(cidr);
                let taken = core.removable(&claims, actor);
                let is_meant =
                    |claim: &Claim| taken.contains(&claim.owner) && meant[claim.slot.index()];
                if claims.iter().any(is_meant) {
                    found.push(cidr);
                }
            }
            (found, last)
        })
    }

    /// For each of these, puts `before` back in place of `after`, where that still stands. A claim whose time is over
    /// does not come back. One that is as it was before is as wanted already.
    pub fn exchange(&self, undo: &[ClaimChange], origin: &Origin) -> Vec<Exchanged> {
        let mut results = Vec::with_capacity(undo.len());
        for spell in undo.chunks(SPELL) {
            self.change(|core, now| {
                results.extend(
                    spell
                        .iter()
                        .map(|change| core.undo_claim(change, now, origin)),
                );
            });
        }
        results
    }
}

impl Core {
    fn foretell_add(&self, policy: Policy, rule: &NewRule, now: u64) -> Vec<ClaimChange> {
        let key = RuleKey::new(policy, rule.cidr);
        let states = self.states(key);
        let own = states
            .into_iter()
            .find(|(holder, _)| *holder == Holder::Api);
        let before = own.map(|(_, state)| state);
        let after = Some(ClaimState {
            tag: rule.tag.clone(),
            expiration: rule.expiration,
            creation: before.as_ref().map_or(now, |before| before.creation),
        });
        if ClaimState::same(before.as_ref(), after.as_ref()) {
            return Vec::new();
        }
        vec![ClaimChange {
            key,
            holder: Holder::Api,
            before,
            after,
        }]
    }

    fn foretell_remove(&self, key: RuleKey, actor: &Actor) -> Vec<ClaimChange> {
        let claims = self.table(key.policy).claims(key.cidr);
        let taken = self.removable(&claims, actor);
        let gone = claims.without(|claim| !taken.contains(&claim.owner));
        let states = self.states_of(key.policy, &gone).into_iter();
        let change = |(holder, state)| ClaimChange {
            key,
            holder,
            before: Some(state),
            after: None,
        };
        states.map(change).collect()
    }

    fn states_of(&self, policy: Policy, claims: &Claims) -> States {
        let state = |claim: &Claim| {
            let holder = Holder::of(self.owners().get(claim.owner))?;
            Some((holder, self.state(policy, claim)))
        };
        claims.iter().filter_map(state).collect()
    }

    fn state(&self, policy: Policy, claim: &Claim) -> ClaimState {
        ClaimState {
            tag: self.tags(policy).name(claim.slot).cloned(),
            expiration: claim.expiration,
            creation: claim.creation,
        }
    }

    fn states(&self, key: RuleKey) -> States {
        self.states_of(key.policy, &self.table(key.policy).claims(key.cidr))
    }

    /// Makes a change of one rule, and tells what it did to which claims.
    fn seen<T>(
        &mut self,
        key: RuleKey,
        change: impl FnOnce(&mut Self) -> T,
    ) -> (T, Vec<ClaimChange>) {
        let before = self.states(key);
        let result = change(self);
        let after = self.states(key);
        (result, differing(key, &before, &after))
    }

    fn undo_claim(&mut self, change: &ClaimChange, now: u64, origin: &Origin) -> Exchanged {
        let ClaimChange {
            key,
            holder,
            before,
            after,
        } = change;
        let owner = self.owner_id(&holder.owner());
        let claims = self.table(key.policy).claims(key.cidr);
        let stands = claims.of(owner).map(|claim| self.state(key.policy, claim));
        let over = |state: &&ClaimState| state.expiration != 0 && state.expiration <= now;
        let wanted = before.as_ref().filter(|state| !over(state));
        if ClaimState::same(stands.as_ref(), wanted) {
            return Exchanged::Done;
        }
        if !ClaimState::same(stands.as_ref(), after.as_ref()) {
            return Exchanged::Moved;
        }
        match self.set_claim(*key, (claims, holder), wanted, now, origin) {
            Ok(()) => Exchanged::Done,
            Err(error) => Exchanged::Refused(error),
        }
    }

    fn set_claim(
        &mut self,
        key: RuleKey,
        (claims, holder): (Claims, &Holder),
        wanted: Option<&ClaimState>,
        now: u64,
        origin: &Origin,
    ) -> Result<(), FirewallError> {
        let owner = self.owner_id(&holder.owner());
        let is_new = claims.shown().is_none();
        let Some(wanted) = wanted else {
            let left = claims.without(|claim| claim.owner == owner);
            return Ok(self.install(key, left, now, origin)?);
        };
        if is_new {
            self.check_room(key)?;
        }
        let wish = Wish {
            owner,
            tag: wanted.tag.as_ref(),
            expiration: wanted.expiration,
            creation: wanted.creation,
        };
        self.grant(key, claims, &wish, now, origin)
    }
}

fn differing(key: RuleKey, before: &States, after: &States) -> Vec<ClaimChange> {
    let of = |states: &States, holder: &Holder| {
        let found = states.iter().find(|(h, _)| h == holder);
        found.map(|(_, state)| state.clone())
    };
    let mut holders: Vec<&Holder> = before.iter().chain(after).map(|(h, _)| h).collect();
    holders.sort_unstable();
    holders.dedup();
    let change = |holder: &Holder| ClaimChange {
        key,
        holder: holder.clone(),
        before: of(before, holder),
        after: of(after, holder),
    };
    let changes = holders.into_iter().map(change);
    changes
        .filter(|c| !ClaimState::same(c.before.as_ref(), c.after.as_ref()))
        .collect()
}
