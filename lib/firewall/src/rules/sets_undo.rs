//! Undoing a change of sets: the sets in force, the text of their files, and restoring both.

use std::{collections::BTreeMap, fs, io::ErrorKind};

use couic_common::{Cidr, Policy, SetName};
use parking_lot::MutexGuard;

use super::{
    CHUNK, Firewall, Owner, SetCatalog, SetError, SetStore, reload::LoadedSet, setfile::write_set,
    sets::sync_folder,
};

/// Entries of sets, by policy and name. A set without entries is not in it.
pub type SetEntries = BTreeMap<(Policy, SetName), Vec<Cidr>>;

impl SetCatalog {
    /// The claims of these sets.
    #[must_use]
    pub fn of(entries: SetEntries) -> Self {
        let loaded = |((policy, name), entries)| LoadedSet {
            policy,
            name,
            entries,
            is_suspect: false,
            is_cut: false,
        };
        Self(entries.into_iter().map(loaded).collect())
    }

    /// The sets that have entries.
    #[must_use]
    pub fn entries(&self) -> SetEntries {
        let some = self.0.iter().filter(|set| !set.entries.is_empty());
        some.map(|set| ((set.policy, set.name.clone()), set.entries.clone()))
            .collect()
    }
}

impl Firewall {
    /// The claims of sets now, entries in order. Hold [`SetStore::turn`], so that no reload comes in between.
    #[must_use]
    pub fn sets_in_force(&self) -> SetEntries {
        let mut sets = SetEntries::new();
        for policy in Policy::ALL {
            let mut after = None;
            loop {
                let last = self.change(|core, _| {
                    let mut last = None;
                    for (cidr, _) in core.table(policy).iter_after(after).take(CHUNK) {
                        last = Some(cidr);
                        for claim in core.table(policy).claims(cidr).iter() {
                            if let Owner::Set(name) = core.owners().get(claim.owner) {
                                let set = sets.entry((policy, name.clone()));
                                set.or_default().push(cidr);
                            }
                        }
                    }
                    last
                });
                if last.is_none() {
                    break;
                }
                after = last;
            }
        }
        sets
    }
}

impl SetStore {
    /// One who changes set files or puts them in force at a time.
    pub fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// The text that the file of a set with these entries has.
    #[must_use]
    pub fn text_of(entries: &[Cidr]) -> String {
        write_set(entries)
    }

    /// The present file of a set; None if there is none.
    ///
    /// # Errors
    /// `TooLarge`, `Unreadable`.
    pub fn raw(&self, policy: Policy, name: &SetName) -> Result<Option<Vec<u8>>, SetError> {
        match self.bytes(policy, name) {
            Err(SetError::NotFound { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Restores a set's file; None = there was none.
    ///
    /// # Errors
    /// `Io`; nothing has changed then.
    pub fn put_back(
        &self,
        policy: Policy,
        name: &SetName,
        text: Option<&[u8]>,
    ) -> Result<(), SetError> {
        match text {
            None => match self.delete(policy, name) {
                Err(SetError::NotFound { .. }) => Ok(()),
                other => other,
            },
            Some(text) => self.write_text(policy, name, text, |file, path| {
                file.persist(path).map_err(|error| SetError::Io {
                    path: path.to_owned(),
                    source: error.error,
                })
            }),
        }
    }

    /// Renames a set's file to `NAME.couic.reverted`, which no reload looks at.
    ///
    /// # Errors
    /// `Io`.
    pub fn set_aside(&self, policy: Policy, name: &SetName) -> Result<(), SetError> {
        let path = self.path(policy, name);
        let aside = path.with_extension("couic.reverted");
        let folder = self.folder(policy);
        match fs::rename(&path, aside).and_then(|()| sync_folder(&folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| SetError::Io { path, source }),
        }
    }
}
