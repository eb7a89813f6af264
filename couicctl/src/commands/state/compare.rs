//! Compares a state file with what the daemon has, entry by entry as they arrive: nothing of the daemon's is kept that
//! does not differ.

use std::collections::{BTreeMap, BTreeSet};

use couic_common::{
    Cidr, ClientInfo, ClientLimits, ClientName, Entry, OwnerKind, Policy, RuleOwner, SetName,
};

use super::{
    plan::{ClientChange, RuleChange, SetChange, SetKind},
    wanted::{Claim, Clients, Rules, Sets},
};

/// The comparison of the rules of one policy.
pub(super) struct Comparison<'w> {
    policy: Policy,
    own: &'w ClientName,
    rules: Rules,
    sets: BTreeMap<&'w str, InForce<'w>>,
    changes: Vec<RuleChange>,
}

/// A declared set, and how many rules of it are in force.
struct InForce<'w> {
    wanted: &'w BTreeSet<Cidr>,
    there: usize,
    extra: usize,
}

impl<'w> Comparison<'w> {
    pub(super) fn of(policy: Policy, rules: Rules, sets: &'w Sets, own: &'w ClientName) -> Self {
        let of_policy = sets.named.iter().filter(|((of, _), _)| *of == policy);
        let in_force = |wanted| InForce {
            wanted,
            there: 0,
            extra: 0,
        };
        Self {
            policy,
            own,
            rules,
            sets: of_policy
                .map(|((_, name), wanted)| (name.as_str(), in_force(wanted)))
                .collect(),
            changes: Vec::new(),
        }
    }

    /// Takes an entry of the policy, with its owners.
    pub(super) fn see(&mut self, entry: &Entry) {
        for owner in &entry.owners {
            match (owner.kind, &owner.name) {
                (OwnerKind::Client, Some(name)) if name == self.own.as_str() => {
                    self.claim(entry.cidr, owner);
                }
                (OwnerKind::Set, Some(name)) => {
                    if let Some(set) = self.sets.get_mut(name.as_str()) {
                        let is_wanted = set.wanted.contains(&entry.cidr);
                        *(if is_wanted {
                            &mut set.there
                        } else {
                            &mut set.extra
                        }) += 1;
                    }
                }
                _ => {}
            }
        }
    }

    fn claim(&mut self, cidr: Cidr, held: &RuleOwner) {
        if !self.rules.owns(&held.tag) {
            return;
        }
        let new = self.rules.claims.remove(&(cidr, held.tag.clone()));
        let old = Claim {
            expiration: held.expiration,
            reason: held.reason.clone(),
        };
        // A renewal without a reason keeps the one that is there.
        let new = new.map(|new| Claim {
            reason: new.reason.or_else(|| old.reason.clone()),
            ..new
        });
        if new.as_ref() != Some(&old) {
            self.changes.push(RuleChange {
                policy: self.policy,
                cidr,
                tag: held.tag.clone(),
                old: Some(old),
                new,
            });
        }
    }

    /// The rules that differ, and how many rules of each declared set are missing, or too many.
    pub(super) fn end(self) -> (Vec<RuleChange>, BTreeMap<SetName, [usize; 2]>) {
        let Self {
            policy,
            rules,
            sets,
            mut changes,
            ..
        } = self;
        changes.extend(
            rules
                .claims
                .into_iter()
                .map(|((cidr, tag), claim)| RuleChange {
                    policy,
                    cidr,
                    tag,
                    old: None,
                    new: Some(claim),
                }),
        );
        changes.sort_by(|a, b| (a.cidr, &a.tag).cmp(&(b.cidr, &b.tag)));
        let sets = sets.into_iter().filter_map(|(name, set)| {
            Some((
                name.parse().ok()?,
                [set.wanted.len() - set.there, set.extra],
            ))
        });
        (changes, sets.collect())
    }
}

/// How a declared set differs: from its file, which is None if it cannot be read, or else from its rules.
pub(super) fn set(
    wanted: &BTreeSet<Cidr>,
    file: Option<&BTreeSet<Cidr>>,
    in_force: [usize; 2],
) -> Option<SetKind> {
    let entries = || wanted.iter().copied().collect();
    let Some(file) = file else {
        let (added, removed) = (wanted.len(), 0);
        return Some(SetKind::Change {
            entries: entries(),
            added,
            removed,
            total: None,
        });
    };
    let added = wanted.difference(file).count();
    let removed = file.difference(wanted).count();
    if added + removed > 0 {
        let total = Some(file.len());
        return Some(SetKind::Change {
            entries: entries(),
            added,
            removed,
            total,
        });
    }
    let [missing, extra] = in_force;
    (missing + extra > 0).then(|| SetKind::Rules {
        entries: entries(),
        missing,
        extra,
    })
}

/// Sets that are the file's by a pattern alone.
pub(super) fn surplus(
    sets: &Sets,
    policy: Policy,
    name: &SetName,
    total: u64,
) -> Option<SetChange> {
    let is_named = sets.named.contains_key(&(policy, name.clone()));
    (!is_named && sets.owns(policy, name)).then(|| SetChange {
        policy,
        name: name.clone(),
        kind: SetKind::Delete { total },
    })
}

/// Clients that differ. couicctl's own, and that of the token in use, are never among those that are deleted.
pub(super) fn clients(wanted: &Clients, there: &[ClientInfo]) -> Vec<ClientChange> {
    let mut left = wanted.named.clone();
    let mut changes = Vec::new();
    for client in there {
        let new = left.remove(&client.name);
        let is_own = client.own || client.name.as_str() == "couicctl";
        let differs = match &new {
            Some(new) => new.group != client.group || normal(&new.limits) != normal(&client.limits),
            None => wanted.owns(&client.name) && !is_own,
        };
        if differs {
            changes.push(ClientChange {
                name: client.name.clone(),
                old: Some((client.group, client.limits.clone())),
                new,
            });
        }
    }
    changes.extend(left.into_iter().map(|(name, new)| ClientChange {
        name,
        old: None,
        new: Some(new),
    }));
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

/// The order of policies and tags is none of the limits'.
fn normal(limits: &Option<ClientLimits>) -> Option<ClientLimits> {
    let mut limits = limits.clone()?;
    limits
        .policies
        .iter_mut()
        .for_each(|all| all.sort_unstable());
    limits.tags.iter_mut().for_each(|all| all.sort_unstable());
    Some(limits)
}
