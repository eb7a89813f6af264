//! Applying the set files to the rules of sets: differential, all or nothing, without a gap.
//!
//! Order matters while packets flow. Claims of policy ignore come first and go last, so that no source is locked out in
//! between. Inside a policy, rules are taken in groups that do not overlap each other, and in a group new rules come
//! before old ones go: a source that is covered before and after is covered all the time. Groups that only shrink go
//! first, so that a big set can be replaced although the table has no room for both.

use couic_common::{Cidr, Policy, ReasonId, RuleKey, SetName, Tag};

use super::{
    Actor, Firewall, FirewallError, Origin, Owner,
    core::{Core, family},
    packed::{Claims, PackedClaim},
};
use crate::dataplane::TagSlot;

/// The contents of a set file.
#[derive(Clone, Debug)]
pub(crate) struct LoadedSet {
    pub(crate) policy: Policy,
    pub(crate) name: SetName,
    /// Sorted, each once.
    pub(crate) entries: Vec<Cidr>,
    /// Whether it has no entry, and no line that says so on purpose.
    pub(super) is_suspect: bool,
    /// Whether its last line has no end.
    pub(super) is_cut: bool,
}

/// The content of all set files.
#[derive(Clone, Debug, Default)]
pub struct SetCatalog(pub(crate) Vec<LoadedSet>);

/// The effect of a reload, in rules that are in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetChange {
    /// Claims of sets that are new.
    pub added: usize,
    /// Claims of sets that are gone.
    pub removed: usize,
    /// Claims of sets now.
    pub total: usize,
}

impl SetCatalog {
    /// How many entries all sets have together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|set| set.entries.len()).sum()
    }

    /// Whether no set has an entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A change of one rule that a reload makes.
#[derive(Clone, Debug)]
struct Step {
    key: RuleKey,
    before: Claims,
    after: Claims,
    /// The set that the event names.
    set: SetName,
}

impl Step {
    fn is_new(&self) -> bool {
        self.before.shown().is_none()
    }

    fn is_gone(&self) -> bool {
        self.after.shown().is_none()
    }

    /// How many rules more there are afterwards: 1, 0 or -1.
    fn growth(&self) -> isize {
        isize::from(self.is_new()) - isize::from(self.is_gone())
    }
}

impl Firewall {
    /// Applies `catalog` to the claims of sets, and leaves all others alone.
    ///
    /// # Errors
    /// `Full`, `TooManyTags`, `Plane`. Nothing has changed then.
    pub fn replace_sets(&self, catalog: &SetCatalog) -> Result<SetChange, FirewallError> {
        self.change(|core, now| {
            let mut pinned = Vec::new();
            let result = replace(core, catalog, now, &mut pinned);
            for (policy, slot) in pinned {
                core.tags_mut(policy).0.release(slot);
            }
            result
        })
    }
}

fn replace(
    core: &mut Core,
    catalog: &SetCatalog,
    now: u64,
    pinned: &mut Vec<(Policy, TagSlot)>,
) -> Result<SetChange, FirewallError> {
    let mut change = SetChange {
        total: catalog.len(),
        ..SetChange::default()
    };
    let mut plan_of = |policy, core: &mut Core| -> Result<Vec<Step>, FirewallError> {
        let wanted = wanted_claims(core, catalog, policy, now, pinned)?;
        check_wanted(core, policy, &wanted)?;
        Ok(plan(core, policy, &wanted, &mut change))
    };
    let ignore = plan_of(Policy::Ignore, core)?;
    let drop = plan_of(Policy::Drop, core)?;
    // Ignore rules come before and go after everything else.
    let (going, mut steps): (Vec<Step>, Vec<Step>) = ignore.into_iter().partition(Step::is_gone);
    steps.extend(in_order(drop));
    steps.extend(going);
    check_room(core, &steps)?;
    run(core, &steps, now)?;
    Ok(change)
}

/// Takes the steps, or none of them.
fn run(core: &mut Core, steps: &[Step], now: u64) -> Result<(), FirewallError> {
    let origin = |step: &Step| Origin {
        actor: Actor::Set(step.set.clone()),
        metadata: None,
    };
    for (done, step) in steps.iter().enumerate() {
        let after = step.after.clone();
        let Err(error) = core.install(step.key, after, now, &origin(step)) else {
            continue;
        };
        for step in steps[..done].iter().rev() {
            // Restores the state that the data plane held a moment ago, so it has the room. Should the kernel refuse
            // all the same, the rules agree with the data plane: install changes both or none.
            let _ = core.install(step.key, step.before.clone(), now, &origin(step));
        }
        return Err(error.into());
    }
    Ok(())
}

/// The claims of a policy's sets, in the order of CIDRs. Their tags are held, so that none is given away before its
/// first rule exists, and noted in `pinned`.
fn wanted_claims(
    core: &mut Core,
    catalog: &SetCatalog,
    policy: Policy,
    now: u64,
    pinned: &mut Vec<(Policy, TagSlot)>,
) -> Result<Vec<(Cidr, PackedClaim)>, FirewallError> {
    let mut wanted = Vec::new();
    for set in catalog
        .0
        .iter()
        .filter(|set| set.policy == policy && !set.entries.is_empty())
    {
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
        wanted.extend(set.entries.iter().map(|cidr| (*cidr, claim)));
    }
    wanted.sort_by_key(|(cidr, _)| *cidr);
    Ok(wanted)
}

/// Whether the table could hold the claims of the sets if it were empty: before a plan is made, which takes the memory
/// of many rules for each of them, under the lock.
fn check_wanted(
    core: &Core,
    policy: Policy,
    wanted: &[(Cidr, PackedClaim)],
) -> Result<(), FirewallError> {
    let limit = core.limits().of(policy);
    for is_ipv4 in [true, false] {
        let rules = wanted.chunk_by(|(a, _), (b, _)| a == b);
        let mine = rules.filter(|claims| claims[0].0.is_ipv4() == is_ipv4);
        if mine.count() > limit {
            return Err(FirewallError::Full {
                policy,
                family: family(is_ipv4),
                limit,
            });
        }
    }
    Ok(())
}

/// The steps from the claims that sets have now to the wanted ones, in the order of CIDRs.
fn plan(
    core: &Core,
    policy: Policy,
    wanted: &[(Cidr, PackedClaim)],
    change: &mut SetChange,
) -> Vec<Step> {
    let table = core.table(policy);
    let set_of = |claim: &PackedClaim| match core.owners().get(claim.owner) {
        Owner::Set(name) => Some(name),
        _ => None,
    };
    let mut steps = Vec::new();
    let mut step_to = |cidr: Cidr, wanted: &[(Cidr, PackedClaim)]| {
        let before = table.claims(cidr);
        let is_wanted = |claim: &PackedClaim| wanted.iter().any(|(_, w)| w.owner == claim.owner);
        let gone: Vec<PackedClaim> = before
            .iter()
            .filter(|c| set_of(c).is_some() && !is_wanted(c))
            .copied()
            .collect();
        let new: Vec<PackedClaim> = wanted
            .iter()
            .map(|(_, w)| *w)
            .filter(|w| before.of(w.owner).is_none())
            .collect();
        let Some(set) = new.first().or(gone.first()).and_then(set_of).cloned() else {
            return;
        };
        change.added += new.len();
        change.removed += gone.len();
        let kept = before.clone().without(|claim| gone.contains(claim));
        let after = new
            .into_iter()
            .fold(kept, |claims, claim| claims.with(claim, core.owners()));
        steps.push(Step {
            key: RuleKey::new(policy, cidr),
            before,
            after,
            set,
        });
    };
    for claims in wanted.chunk_by(|(a, _), (b, _)| a == b) {
        step_to(claims[0].0, claims);
    }
    for (cidr, shown) in table.iter_after(None) {
        // A set's claim is shown first, so the shown one tells whether there is any.
        if set_of(shown).is_some() && wanted.binary_search_by_key(&cidr, |(c, _)| *c).is_err() {
            step_to(cidr, &[]);
        }
    }
    steps.sort_unstable_by_key(|step| step.key.cidr);
    steps
}

/// Sorts steps so that no covered source is uncovered in between, and the table grows as late as possible.
fn in_order(steps: Vec<Step>) -> Vec<Step> {
    let mut groups: Vec<Vec<Step>> = Vec::new();
    for step in steps {
        // In the order of CIDRs, a prefix is followed by those that it covers.
        match groups.last_mut() {
            Some(group) if group[0].key.cidr.contains(step.key.cidr.addr()) => group.push(step),
            _ => groups.push(vec![step]),
        }
    }
    groups.sort_by_key(|group| group.iter().map(Step::growth).sum::<isize>());
    let ordered = groups.into_iter().flat_map(|mut group| {
        group.sort_by_key(Step::is_gone);
        group
    });
    ordered.collect()
}

/// Whether the tables hold the outcome, and the data plane every state in between.
fn check_room(core: &Core, steps: &[Step]) -> Result<(), FirewallError> {
    for policy in Policy::ALL {
        for is_ipv4 in [true, false] {
            let mine = steps
                .iter()
                .filter(|s| s.key.policy == policy && s.key.cidr.is_ipv4() == is_ipv4);
            let (v4, v6) = core.table(policy).counts();
            let mut count = if is_ipv4 { v4 } else { v6 };
            let mut peak = count;
            for step in mine {
                count = count.saturating_add_signed(step.growth());
                peak = peak.max(count);
            }
            let limit = core.limits().of(policy);
            if count > limit || peak > core.limits().with_reload_headroom().of(policy) {
                return Err(FirewallError::Full {
                    policy,
                    family: family(is_ipv4),
                    limit,
                });
            }
        }
    }
    Ok(())
}
