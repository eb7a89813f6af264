//! Applying the set files to the rules of sets: differential, all or nothing, without a gap.
//!
//! Order matters while packets flow. Claims of policy ignore come first and go last, so that no source is locked out in
//! between. Inside a policy, rules are taken in groups that do not overlap each other, and in a group new rules come
//! before old ones go: a source that is covered before and after is covered all the time. Groups that only shrink go
//! first, so that a big set can be replaced although the table has no room for both.
//!
//! A step is small, since there may be millions: the claims that it makes are worked out when it is taken, under the lock
//! under which it was planned.

mod steps;
mod wanted;

use couic_common::{Cidr, Policy, SetName};

use self::{
    steps::{Step, in_order},
    wanted::Wanted,
};
use super::{
    Actor, Firewall, FirewallError, Origin, Owner,
    core::{Core, family},
    packed::{Claims, OwnerId},
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

impl Firewall {
    /// Applies `catalog` to the claims of sets, and leaves all others alone.
    ///
    /// # Errors
    /// `Full`, `TooManyTags`, `Plane`. Nothing has changed then.
    pub fn replace_sets(&self, catalog: &SetCatalog) -> Result<SetChange, FirewallError> {
        self.change(|core, now| {
            pinning(core, |core, pinned| {
                let mut change = SetChange::default();
                let mut plan_of = |policy, core: &mut Core| {
                    let sets = catalog.0.iter().filter(|set| set.policy == policy);
                    let wanted = Wanted::of(core, policy, sets, now, pinned)?;
                    check_wanted(core, policy, &wanted)?;
                    let steps = wanted.steps(core, &mut change);
                    Ok::<_, FirewallError>((wanted, steps))
                };
                let (ignore, steps) = plan_of(Policy::Ignore, core)?;
                let (drop, drops) = plan_of(Policy::Drop, core)?;
                // Ignore rules come before and go after everything else.
                let (going, mut steps): (Vec<Step>, Vec<Step>) =
                    steps.into_iter().partition(|step| step.is_gone);
                steps.extend(in_order(drops));
                steps.extend(going);
                check_room(core, &steps)?;
                let wanted_of = |policy| match policy {
                    Policy::Drop => &drop,
                    Policy::Ignore => &ignore,
                };
                run(core, &steps, now, wanted_of)?;
                Ok(change)
            })
        })
    }

    /// Applies one set to its claims, and leaves those of all other sets alone.
    ///
    /// # Errors
    /// `Full`, `TooManyTags`, `Plane`. Nothing has changed then.
    pub(crate) fn replace_set(&self, set: &LoadedSet) -> Result<SetChange, FirewallError> {
        self.change(|core, now| {
            pinning(core, |core, pinned| {
                let mut change = SetChange::default();
                let wanted = Wanted::of(core, set.policy, std::iter::once(set), now, pinned)?;
                let owner = core.owner_id(&Owner::Set(set.name.clone()));
                let wanted = wanted.only(owner);
                check_wanted(core, set.policy, &wanted)?;
                let steps = in_order(wanted.steps(core, &mut change));
                check_room(core, &steps)?;
                run(core, &steps, now, |_| &wanted)?;
                Ok(change)
            })
        })
    }
}

/// Does `work`, which holds the tags of claims that it is about to make, so that none is given away before its first rule
/// exists.
fn pinning<T>(
    core: &mut Core,
    work: impl FnOnce(&mut Core, &mut Vec<(Policy, TagSlot)>) -> T,
) -> T {
    let mut pinned = Vec::new();
    let result = work(core, &mut pinned);
    for (policy, slot) in pinned {
        core.tags_mut(policy).0.release(slot);
    }
    result
}

/// Takes the steps, or none of them.
fn run<'w>(
    core: &mut Core,
    steps: &[Step],
    now: u64,
    wanted: impl Fn(Policy) -> &'w Wanted<'w>,
) -> Result<(), FirewallError> {
    // The claims before, of rules that had any, by step.
    let mut before: Vec<(usize, Claims)> = Vec::new();
    for (done, step) in steps.iter().enumerate() {
        let Some(turn) = wanted(step.key.policy).turn(core, step.key.cidr) else {
            continue;
        };
        let origin = origin(core, Some(turn.set));
        if turn.before.shown().is_some() {
            before.push((done, turn.before));
        }
        let Err(error) = core.install(step.key, turn.after, now, &origin) else {
            continue;
        };
        for (index, step) in steps[..=done].iter().enumerate().rev() {
            let was = before.pop_if(|(of, _)| *of == index);
            let was = was.map(|(_, claims)| claims).unwrap_or_default();
            let is = core.table(step.key.policy).claims(step.key.cidr);
            let set = is.iter().chain(was.iter()).find(|c| c.owner.is_set());
            let set = set.map(|claim| claim.owner);
            let origin = self::origin(core, set);
            // Restores the state that the data plane held a moment ago, so it has the room. Should the kernel refuse
            // all the same, the rules agree with the data plane: install changes both or none.
            let _ = core.install(step.key, was, now, &origin);
        }
        return Err(error.into());
    }
    Ok(())
}

/// What the events of a step name.
fn origin(core: &Core, set: Option<OwnerId>) -> Origin {
    let actor = match set.map(|set| core.owners().get(set)) {
        Some(Owner::Set(name)) => Actor::Set(name.clone()),
        // Every step is a set's.
        _ => Actor::Expiry,
    };
    Origin {
        actor,
        metadata: None,
    }
}

/// Whether the table could hold the claims of the sets if it were empty: before a plan is made, which takes the memory
/// of many rules, under the lock.
fn check_wanted(core: &Core, policy: Policy, wanted: &Wanted<'_>) -> Result<(), FirewallError> {
    let limit = core.limits().of(policy);
    let (mut v4, mut v6) = (0, 0);
    wanted.each(|cidr| *(if cidr.is_ipv4() { &mut v4 } else { &mut v6 }) += 1);
    for (is_ipv4, count) in [(true, v4), (false, v6)] {
        if count > limit {
            return Err(FirewallError::Full {
                policy,
                family: family(is_ipv4),
                limit,
            });
        }
    }
    Ok(())
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
