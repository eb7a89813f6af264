//! Undoing a change of sets: their rules all together, then their files.

use couic_common::{Cidr, Policy, SetName};

use super::{
    Change, Confirmations, FileChange, SetChange, change::Key, record::Head, undo::Outcome,
};
use crate::rules::{SetCatalog, SetEntries, SetError, SetStore, parse_set};

impl Confirmations {
    /// Restores the rules of sets, all of them or none, then the files. If it fails halfway, the next attempt goes on
    /// from there.
    pub(super) fn undo_sets(&self, head: &Head, changes: &[Change], outcome: &mut Outcome) {
        if !changes
            .iter()
            .any(|change| !matches!(change, Change::Claim(_)))
        {
            return;
        }
        let _turn = self.sets.turn();
        let before = self.firewall.sets_in_force();
        let in_force = undone(before.clone(), changes, outcome);
        if in_force != before
            && let Err(error) = self
                .firewall
                .replace_sets(&SetCatalog::of(in_force.clone()))
        {
            return outcome.failed("the rules of sets", error);
        }
        self.rules_are(&in_force);
        for change in changes {
            match change {
                // Both changed together: the file is put back as it was.
                Change::Set(set) if has_file(changes, set) => {
                    if !outcome.moved.contains(&change.key()) {
                        outcome.done();
                    }
                }
                _ => self.undo_file_of(head, change, &in_force, outcome),
            }
        }
    }

    fn undo_file_of(
        &self,
        head: &Head,
        change: &Change,
        in_force: &SetEntries,
        outcome: &mut Outcome,
    ) {
        let key = change.key();
        match change {
            Change::Claim(_) => {}
            Change::File(file) => match self.undo_file(file) {
                Ok(true) => outcome.done(),
                Ok(false) => {
                    outcome.moved.push(key);
                    self.watch(head, (file.policy, &file.set), in_force);
                }
                Err(error) => outcome.failed(key.name(), error),
            },
            Change::Set(set) => match self.undo_reload_of(set) {
                Ok(is_restored) => {
                    if !outcome.moved.contains(&key) {
                        outcome.done();
                    }
                    if !is_restored && self.watch(head, (set.policy, &set.set), in_force) {
                        let file = Key::File(set.policy, set.set.clone());
                        outcome.moved.push(file);
                    }
                }
                Err(error) => outcome.failed(key.name(), error),
            },
        }
    }

    /// Restores the text of a set's file. False if it was changed meanwhile.
    fn undo_file(&self, change: &FileChange) -> Result<bool, SetError> {
        let FileChange {
            policy,
            set,
            before,
            after,
        } = change;
        let found = self.sets.raw(*policy, set)?;
        let (before, after) = (
            before.as_ref().map(String::as_bytes),
            after.as_ref().map(String::as_bytes),
        );
        if found.as_deref() == before {
            return Ok(true);
        }
        // The same entries in another form: undoing a reload wrote them.
        let same = |found: &[u8]| before.is_some_and(|before| same_entries(found, before));
        if found.as_deref() != after && !found.as_deref().is_some_and(same) {
            return Ok(false);
        }
        self.sets.put_back(*policy, set, before)?;
        Ok(true)
    }

    /// Restores the file of a set whose reload is undone, with the entries that were in force before. False if the file
    /// was changed after that reload.
    fn undo_reload_of(&self, change: &SetChange) -> Result<bool, SetError> {
        let SetChange {
            policy,
            set,
            before,
            after,
        } = change;
        let found = self.sets.raw(*policy, set)?;
        let says = found.as_deref().map_or(Ok(Vec::new()), parse_set);
        match says {
            Ok(says) if says == *before => return Ok(true),
            Ok(says) if says == *after => {}
            _ => return Ok(false),
        }
        if before.is_empty() {
            self.sets.set_aside(*policy, set)?;
        } else {
            let text = SetStore::text_of(before);
            self.sets.put_back(*policy, set, Some(text.as_bytes()))?;
        }
        Ok(true)
    }
}

/// The claims of sets once these changes are undone, as far as there was no other change in between.
fn undone(mut in_force: SetEntries, changes: &[Change], outcome: &mut Outcome) -> SetEntries {
    for change in changes {
        match change {
            Change::Claim(_) => {}
            Change::Set(set) => {
                let key = (set.policy, set.set.clone());
                if !put(&mut in_force, key, &set.after, &set.before) {
                    outcome.moved.push(change.key());
                }
            }
            // The guard rails keep entries of a file out of force: what was in force is known here.
            Change::File(file) if has_rules(changes, file) => {}
            Change::File(file) => {
                let (after, before) = (file.after.as_deref(), file.before.as_deref());
                if let (Some(after), Some(before)) = (entries(after), entries(before)) {
                    // If the rules do not follow the file, they have not followed this change.
                    put(
                        &mut in_force,
                        (file.policy, file.set.clone()),
                        &after,
                        &before,
                    );
                }
            }
        }
    }
    in_force
}

/// Whether the file of a set changed with its rules.
fn has_file(changes: &[Change], of: &SetChange) -> bool {
    let is_same = |file: &FileChange| (file.policy, &file.set) == (of.policy, &of.set);
    let mut all = changes.iter();
    all.any(|change| matches!(change, Change::File(file) if is_same(file)))
}

/// Whether the rules of a set changed with its file.
fn has_rules(changes: &[Change], of: &FileChange) -> bool {
    let is_same = |set: &SetChange| (set.policy, &set.set) == (of.policy, &of.set);
    let mut all = changes.iter();
    all.any(|change| matches!(change, Change::Set(set) if is_same(set)))
}

/// Puts `before` in place of `after`. False if the set has other entries.
fn put(sets: &mut SetEntries, key: (Policy, SetName), after: &[Cidr], before: &[Cidr]) -> bool {
    let stands = sets.get(&key).map_or(&[][..], Vec::as_slice);
    if stands == before {
        return true;
    }
    if stands != after {
        return false;
    }
    if before.is_empty() {
        sets.remove(&key);
    } else {
        sets.insert(key, before.to_vec());
    }
    true
}

/// The entries of a file's text; none if there is no file. None on a bad line.
fn entries(text: Option<&str>) -> Option<Vec<Cidr>> {
    text.map_or(Some(Vec::new()), |text| parse_set(text.as_bytes()).ok())
}

fn same_entries(one: &[u8], other: &[u8]) -> bool {
    matches!((parse_set(one), parse_set(other)), (Ok(a), Ok(b)) if a == b)
}
