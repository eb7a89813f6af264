//! One set alone: its file and its rules change together, or neither does.
//!
//! No other set is looked at, so a bad file of one does not keep another from being in force. If the process dies between
//! the file and the rules, the next start loads what the file says.

use couic_common::{Cidr, Policy, SetName};

use super::{
    CHUNK, Firewall, FirewallError, NewFile, Owner, SetCatalog, SetChange, SetError, SetStore,
    reload::LoadedSet,
};

/// Why a set was not applied. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Its file could not be changed.
    #[error(transparent)]
    File(#[from] SetError),
    /// Its rules could not be changed.
    #[error(transparent)]
    Rules(#[from] FirewallError),
}

impl SetCatalog {
    /// One set with these entries, which are sorted, each once.
    #[must_use]
    pub fn one(policy: Policy, name: SetName, entries: Vec<Cidr>) -> Self {
        Self(vec![LoadedSet {
            policy,
            name,
            entries,
            is_suspect: false,
            is_cut: false,
        }])
    }
}

impl Firewall {
    /// Puts the new file of the one set in `catalog` in place (None = removes the file), and its entries in force: all of
    /// it, or nothing. Those may be fewer than in the file, if guard rails refuse some. Hold [`SetStore::turn`].
    ///
    /// # Errors
    /// [`ApplyError`]; nothing has changed then.
    pub fn apply_set(
        &self,
        sets: &SetStore,
        file: Option<NewFile>,
        catalog: &SetCatalog,
    ) -> Result<SetChange, ApplyError> {
        let mut change = SetChange::default();
        for set in &catalog.0 {
            self.check_total(sets, set)?;
        }
        if let [set] = &catalog.0[..] {
            change = sets.exchange(set.policy, &set.name, file, || {
                self.replace_set(set).map_err(ApplyError::from)
            })?;
        }
        Ok(change)
    }

    /// The entries of one set in force, in order. Hold [`SetStore::turn`].
    #[must_use]
    pub fn set_in_force(&self, policy: Policy, name: &SetName) -> Vec<Cidr> {
        let owner = self.change(|core, _| core.owner_id(&Owner::Set(name.clone())));
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let last = self.change(|core, _| {
                let (table, mut last) = (core.table(policy), None);
                for (cidr, shown) in table.iter_after(after).take(CHUNK) {
                    last = Some(cidr);
                    let mut claims = table.all_claims(cidr, shown);
                    if shown.owner.is_set() && claims.any(|claim| claim.owner == owner) {
                        found.push(cidr);
                    }
                }
                last
            });
            if last.is_none() {
                return found;
            }
            after = last;
        }
    }

    /// With those of the other sets, no more entries than a start loads.
    fn check_total(&self, sets: &SetStore, set: &LoadedSet) -> Result<(), SetError> {
        let (policy, name, count) = (set.policy, &set.name, set.entries.len());
        let all = self.change(|core, _| core.claims_of_sets(policy));
        if all + count > sets.most(policy) {
            let others = all - self.set_in_force(policy, name).len();
            return sets.check_count(policy, name, others + count);
        }
        Ok(())
    }
}
