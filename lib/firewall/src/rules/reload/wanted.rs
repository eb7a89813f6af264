//! The claims that sets are to have, compared with those that they have.

use couic_common::{Cidr, Policy, ReasonId, RuleKey, Tag};

use super::{LoadedSet, SetChange, steps::Step};
use crate::{
    dataplane::TagSlot,
    rules::{
        FirewallError, Owner,
        core::Core,
        packed::{Claims, OwnerId, PackedClaim},
    },
};

/// The claims that sets of one policy are to have.
pub(super) struct Wanted<'a> {
    policy: Policy,
    entries: Entries<'a>,
    /// The set whose claims may change; None = all sets.
    only: Option<OwnerId>,
}

/// Sorted by CIDR. One set, which may have millions of entries, is not copied.
enum Entries<'a> {
    One(&'a [Cidr], PackedClaim),
    Many(Vec<(Cidr, PackedClaim)>),
}

/// A change of one rule, at the moment when it is made.
pub(super) struct Turn {
    pub(super) before: Claims,
    pub(super) after: Claims,
    /// The set that the event names.
    pub(super) set: OwnerId,
    added: usize,
    removed: usize,
}

impl<'a> Wanted<'a> {
    /// What these sets of `policy` say. Their tags are held, and noted in `pinned`.
    ///
    /// # Errors
    /// `TooManyTags`.
    pub(super) fn of(
        core: &mut Core,
        policy: Policy,
        sets: impl Iterator<Item = &'a LoadedSet>,
        now: u64,
        pinned: &mut Vec<(Policy, TagSlot)>,
    ) -> Result<Self, FirewallError> {
        let mut claims = Vec::new();
        for set in sets.filter(|set| !set.entries.is_empty()) {
            let owner = core.owner_id(&Owner::Set(set.name.clone()));
            let slot = core.slot(policy, Some(&Tag::of_set(&set.name)))?;
            let holder = core.holder(owner);
            core.tags_mut(policy).0.hold(slot, holder);
            pinned.push((policy, slot));
            let claim = PackedClaim {
                reason: ReasonId::NONE,
                expiration: 0,
                creation: now,
                owner,
                slot,
            };
            claims.push((set, claim));
        }
        let entries = if let [(set, claim)] = claims[..] {
            Entries::One(&set.entries, claim)
        } else {
            let of = |(set, claim): (&'a LoadedSet, PackedClaim)| {
                set.entries.iter().map(move |cidr| (*cidr, claim))
            };
            let mut all: Vec<_> = claims.into_iter().flat_map(of).collect();
            all.sort_by_key(|(cidr, _)| *cidr);
            Entries::Many(all)
        };
        Ok(Self {
            policy,
            entries,
            only: None,
        })
    }

    /// The same, for the claims of this set alone.
    pub(super) fn only(self, set: OwnerId) -> Self {
        let only = Some(set);
        Self { only, ..self }
    }

    /// Every CIDR once, in order.
    pub(super) fn each(&self, mut with: impl FnMut(Cidr)) {
        match &self.entries {
            Entries::One(entries, _) => entries.iter().copied().for_each(with),
            Entries::Many(all) => all
                .chunk_by(|(a, _), (b, _)| a == b)
                .for_each(|claims| with(claims[0].0)),
        }
    }

    fn at(&self, cidr: Cidr) -> impl Iterator<Item = PackedClaim> + Clone {
        let (one, many): (Option<PackedClaim>, &[(Cidr, PackedClaim)]) = match &self.entries {
            Entries::One(entries, claim) => {
                let found = entries.binary_search(&cidr).is_ok();
                (found.then_some(*claim), &[])
            }
            Entries::Many(all) => {
                let mine = &all[all.partition_point(|(other, _)| *other < cidr)..];
                let count = mine.iter().take_while(|(other, _)| *other == cidr).count();
                (None, &mine[..count])
            }
        };
        one.into_iter().chain(many.iter().map(|(_, claim)| *claim))
    }

    fn is_concerned(&self, claim: &PackedClaim) -> bool {
        match self.only {
            None => claim.owner.is_set(),
            Some(owner) => claim.owner == owner,
        }
    }

    /// How the claims on a rule change; None if they do not.
    pub(super) fn turn(&self, core: &Core, cidr: Cidr) -> Option<Turn> {
        let wanted = self.at(cidr);
        let before = core.table(self.policy).claims(cidr);
        let is_wanted = |claim: &PackedClaim| wanted.clone().any(|w| w.owner == claim.owner);
        let is_gone = |claim: &PackedClaim| self.is_concerned(claim) && !is_wanted(claim);
        let gone: Vec<_> = before.iter().filter(|c| is_gone(c)).copied().collect();
        let new = wanted.clone().filter(|w| before.of(w.owner).is_none());
        let (added, first_new) = (new.clone().count(), new.clone().next());
        let set = first_new.or(gone.first().copied())?.owner;
        let kept = before.clone().without(is_gone);
        let after = new.fold(kept, |claims, claim| claims.with(claim, core.owners()));
        Some(Turn {
            before,
            after,
            set,
            added,
            removed: gone.len(),
        })
    }

    /// The steps to these claims, in the order of CIDRs.
    pub(super) fn steps(&self, core: &Core, change: &mut SetChange) -> Vec<Step> {
        let table = core.table(self.policy);
        let mut steps = Vec::new();
        let mut step_to = |cidr| {
            let Some(turn) = self.turn(core, cidr) else {
                return;
            };
            change.added += turn.added;
            change.removed += turn.removed;
            let key = RuleKey::new(self.policy, cidr);
            let (is_new, is_gone) = (turn.before.shown().is_none(), turn.after.shown().is_none());
            steps.push(Step::new(key, is_new, is_gone));
        };
        self.each(&mut step_to);
        for (cidr, shown) in table.iter_after(None) {
            // A set's claim is shown first, so the shown one tells whether there is any.
            let is_of_set = shown.owner.is_set();
            if is_of_set
                && table.all_claims(cidr, shown).any(|c| self.is_concerned(c))
                && self.at(cidr).next().is_none()
            {
                step_to(cidr);
            }
        }
        change.total += self.len();
        steps.sort_unstable_by_key(|step| step.key.cidr);
        steps
    }

    fn len(&self) -> usize {
        match &self.entries {
            Entries::One(entries, _) => entries.len(),
            Entries::Many(all) => all.len(),
        }
    }
}
