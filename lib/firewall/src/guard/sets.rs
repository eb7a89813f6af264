//! The set files before they come into force: entries that a guard rail refuses are taken out, all others stay.

use std::net::IpAddr;

use couic_common::{Cidr, Policy, Rail, RefusedSetEntry, RuleKey, SetName};

use super::{Guard, GuardCheck, GuardReason, GuardRefusal, Permit, judge::shorter_than};
use crate::rules::{Cover, Firewall, Leaving, SetCatalog, covering};

/// How many refused entries are listed.
const LISTED: usize = 1_000;

/// How many of them are in health.
const SHOWN: usize = 5;

/// What a load of the set files kept out of force, and what it noted.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    refused: Vec<RefusedEntry>,
    notes: Vec<String>,
}

/// An entry of a set file that is not put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEntry {
    /// The set's policy.
    pub policy: Policy,
    /// The set.
    pub set: SetName,
    /// The entry.
    pub cidr: Cidr,
    /// The reason.
    pub reason: GuardReason,
}

impl From<&RefusedEntry> for RefusedSetEntry {
    fn from(refused: &RefusedEntry) -> Self {
        Self {
            policy: refused.policy,
            file: format!("{}.couic", refused.set),
            cidr: refused.cidr,
            rail: refused.reason.rail(),
            message: refused.reason.to_string(),
        }
    }
}

impl GuardCheck<'_> {
    /// Takes the entries out of `catalog` that a rail refuses. The rest may be put in force while the permit is held.
    ///
    /// Costs a few look-ups for each needed address and set, and a glance at each entry.
    ///
    /// # Errors
    /// [`GuardRefusal`] if entries of policy ignore are gone that protect a needed address from a drop of others: then
    /// the sets are to stay as they are.
    pub fn sift(
        &self,
        firewall: &Firewall,
        catalog: &mut SetCatalog,
    ) -> Result<(Permit<'_>, Vec<RefusedEntry>), GuardRefusal> {
        self.sift_as(firewall, catalog, |catalog| Leaving::Sets(catalog))
    }

    /// The same for some sets: the others stay in force.
    ///
    /// # Errors
    /// The same.
    pub fn sift_some(
        &self,
        firewall: &Firewall,
        catalog: &mut SetCatalog,
    ) -> Result<(Permit<'_>, Vec<RefusedEntry>), GuardRefusal> {
        self.sift_as(firewall, catalog, |catalog| Leaving::SomeSets(catalog))
    }

    fn sift_as(
        &self,
        firewall: &Firewall,
        catalog: &mut SetCatalog,
        leaving: impl for<'c> Fn(&'c SetCatalog) -> Leaving<'c>,
    ) -> Result<(Permit<'_>, Vec<RefusedEntry>), GuardRefusal> {
        let turn = self.guard.turn.lock();
        let mut refused = Vec::new();
        if self.rails.has(Rail::Width) {
            take_wide(catalog, &mut refused);
        }
        let needs = self.host.iter().flat_map(|host| host.iter());
        let mut needs: Vec<_> = needs.filter(|need| self.rails.has(need.rail)).collect();
        needs.sort_by_key(|need| need.rail);
        let addresses: Vec<IpAddr> = needs.iter().map(|need| need.addr).collect();
        let covers =
            |catalog: &SetCatalog| firewall.cover(&addresses, Policy::Ignore, leaving(catalog));
        for (need, Cover { ignored_after, .. }) in needs.iter().zip(covers(catalog)) {
            // Entries of sets never expire.
            if ignored_after < u64::MAX {
                take_covering(catalog, need.addr, &mut refused, || {
                    GuardReason::Needed((*need).clone())
                });
            }
        }
        let exposed = needs.iter().zip(covers(catalog));
        if let Some((need, _)) = { exposed }.find(|(_, cover)| cover.is_exposed()) {
            return Err(GuardRefusal {
                key: RuleKey::new(Policy::Ignore, Cidr::host(need.addr)),
                reason: GuardReason::Exposed(need.rail, need.addr, need.role.as_str().into()),
            });
        }
        Ok((Permit { _turn: Some(turn) }, refused))
    }
}

fn take_wide(catalog: &mut SetCatalog, refused: &mut Vec<RefusedEntry>) {
    for set in &mut catalog.0 {
        let (policy, name) = (set.policy, &set.name);
        set.entries.retain(|cidr| {
            let shortest = shorter_than(*cidr);
            refused.extend(shortest.map(|shortest| RefusedEntry {
                policy,
                set: name.clone(),
                cidr: *cidr,
                reason: GuardReason::TooShort(policy, shortest),
            }));
            shortest.is_none()
        });
    }
}

fn take_covering(
    catalog: &mut SetCatalog,
    ip: IpAddr,
    refused: &mut Vec<RefusedEntry>,
    reason: impl Fn() -> GuardReason,
) {
    for set in catalog
        .0
        .iter_mut()
        .filter(|set| set.policy == Policy::Drop)
    {
        let found: Vec<Cidr> = covering(&set.entries, ip).collect();
        if found.is_empty() {
            continue;
        }
        set.entries.retain(|cidr| !found.contains(cidr));
        refused.extend(found.into_iter().map(|cidr| RefusedEntry {
            policy: set.policy,
            set: set.name.clone(),
            cidr,
            reason: reason(),
        }));
    }
}

impl Guard {
    /// Notes what a load of the set files kept out of force, and what looks like a mistake, for health.
    pub fn loaded(&self, refused: Vec<RefusedEntry>, notes: Vec<String>) {
        log(&refused, &notes);
        let mut loaded = self.sets.lock();
        *loaded = Loaded::default();
        loaded.add(refused, notes);
    }

    /// The same of one set. What is noted of others stays.
    pub fn loaded_one(
        &self,
        policy: Policy,
        set: &SetName,
        refused: Vec<RefusedEntry>,
        notes: Vec<String>,
    ) {
        log(&refused, &notes);
        let mut loaded = self.sets.lock();
        let is_other = |entry: &RefusedEntry| (entry.policy, &entry.set) != (policy, set);
        loaded.refused.retain(is_other);
        let file = format!("sets/{policy}/{set}.couic ");
        loaded.notes.retain(|note| !note.starts_with(&file));
        loaded.add(refused, notes);
    }

    /// What the last load of the set files kept out of force, and its notes.
    #[must_use]
    pub fn set_report(&self) -> (Vec<RefusedSetEntry>, Vec<String>) {
        let sets = self.sets.lock();
        let refused = sets.refused.iter().map(RefusedSetEntry::from);
        (refused.collect(), sets.notes.clone())
    }
}

impl Loaded {
    fn add(&mut self, refused: Vec<RefusedEntry>, notes: Vec<String>) {
        self.refused.extend(refused);
        self.refused.truncate(LISTED);
        self.notes.extend(notes);
    }
}

fn log(refused: &[RefusedEntry], notes: &[String]) {
    for entry in refused.iter().take(SHOWN) {
        let RefusedEntry {
            policy,
            set,
            cidr,
            reason,
        } = entry;
        let rail = reason.rail();
        tracing::error!(
            "sets/{policy}/{set}.couic: {cidr} is NOT in force, refused by the guard rail {rail}: {reason}"
        );
    }
    if refused.len() > SHOWN {
        let more = refused.len() - SHOWN;
        tracing::error!("{more} more entries of set files are NOT in force");
    }
    notes.iter().for_each(|note| tracing::warn!("{note}"));
}
