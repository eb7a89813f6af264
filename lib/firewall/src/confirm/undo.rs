//! Undoing a change: claims by compare and set, sets all together, then their files.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{Cidr, ClientName, ConfirmId, Metadata, Policy, RevertedChange, SetName};

use super::{
    Change, ConfirmError, ConfirmState, Confirmations, FileChange, REMEMBERED, SetChange,
    change::Key,
    pending::{Changes, Pending, Stage},
    record::Head,
};
use crate::rules::{
    Actor, ClaimSwap, Origin, SetCatalog, SetEntries, SetError, Swapped, parse_set,
};

/// Between two attempts to undo a change.
pub(super) const AGAIN: Duration = Duration::from_secs(5);

/// How many of the things that were left alone are named.
const NAMED: usize = 20;

/// What became of each thing.
#[derive(Debug, Default)]
struct Outcome {
    restored: u64,
    /// Changed again afterwards, so left alone.
    moved: Vec<Key>,
    /// Why some could not be put back.
    failed: Vec<String>,
}

impl Outcome {
    fn done(&mut self) {
        self.restored += 1;
    }

    fn failed(&mut self, what: impl std::fmt::Display, why: impl std::fmt::Display) {
        self.failed.push(format!("{what}: {why}"));
    }
}

impl Confirmations {
    /// Undoes every change whose time is over, the latest first.
    pub fn undo_due(&self) {
        let now = self.firewall.now();
        let is_due = |p: &Pending| {
            // That clock shows whole seconds: no client gets less time than it asked for.
            let late = p.problem.is_none() && now > p.head.until;
            p.stage == Stage::Waiting && (late || Instant::now() >= p.due)
        };
        let state = self.state.lock();
        let due: Vec<ConfirmId> = state
            .pending
            .iter()
            .rev()
            .filter(|p| is_due(p))
            .map(|p| p.head.id)
            .collect();
        drop(state);
        for id in due {
            // Whatever happened stands in the log.
            let _ = self.undo_one(id, "it was not confirmed in time");
        }
    }

    pub(super) fn undo_one(
        &self,
        id: ConfirmId,
        why: &str,
    ) -> Result<RevertedChange, ConfirmError> {
        let _one_at_a_time = self.undoing.lock();
        let (head, changes) = {
            let mut state = self.state.lock();
            let met = Self::is_met(&state, id);
            let pending = state.get(id).ok_or(ConfirmError::Unknown(id))?;
            if pending.stage != Stage::Waiting || met {
                return Err(ConfirmError::Busy(id));
            }
            pending.stage = Stage::Undoing;
            (pending.head.clone(), pending.changes.list().to_vec())
        };
        let mut outcome = Outcome::default();
        let changes = self.pass_on(id, changes, &mut outcome);
        self.undo_claims(&head, &changes, &mut outcome);
        self.undo_sets(&head, &changes, &mut outcome);
        self.conclude(&head, why, outcome)
    }

    fn undo_claims(&self, head: &Head, changes: &[Change], outcome: &mut Outcome) {
        let now = self.firewall.now();
        let (mut keys, mut swaps) = (Vec::new(), Vec::new());
        for change in changes {
            let Change::Claim(claim) = change else {
                continue;
            };
            keys.push(change.key());
            swaps.push(ClaimSwap {
                key: claim.key,
                owner: Some(claim.owner.clone()),
                expected: claim.after.iter().cloned().collect(),
                // A claim whose time is over does not come back.
                wanted: claim.before.clone().filter(|before| !before.is_over(now)),
            });
        }
        let origin = origin(&head.client, head);
        for (key, swapped) in keys.into_iter().zip(self.firewall.swap(swaps, &origin)) {
            match swapped {
                Swapped::Done(_) => outcome.done(),
                Swapped::Moved => outcome.moved.push(key),
                Swapped::Refused(error) => outcome.failed(key.name(), error),
            }
        }
    }

    /// Restores what is in force, all of it or nothing, then the files. If it fails halfway, the next attempt goes on
    /// from there.
    fn undo_sets(&self, head: &Head, changes: &[Change], outcome: &mut Outcome) {
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
            self.undo_file_of(head, change, &in_force, outcome);
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

    /// Makes the file of a set whose reload is undone say what was in force before. False if the file was changed
    /// after that reload.
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
            let text = crate::rules::SetStore::text_of(before);
            self.sets.put_back(*policy, set, Some(text.as_bytes()))?;
        }
        Ok(true)
    }

    /// Hands changes over to later unconfirmed changes that began where this one ended: undoing those leads back to
    /// before this one. Returns what is left to undo here.
    fn pass_on(&self, id: ConfirmId, changes: Vec<Change>, outcome: &mut Outcome) -> Vec<Change> {
        let mut state = self.state.lock();
        let Some(at) = state.pending.iter().position(|p| p.head.id == id) else {
            return changes;
        };
        let later = &mut state.pending[at + 1..];
        let (mut left, mut touched) = (Vec::new(), BTreeSet::new());
        for change in changes {
            let key = change.key();
            let next = later.iter().enumerate().find_map(|(at, p)| {
                let next = p.changes.find(&key)?.clone();
                Some((at, next))
            });
            match next {
                None => left.push(change),
                Some((at, next)) if next.continues(&change) => {
                    later[at].changes.set(vec![next.beginning_with(&change)]);
                    touched.insert(at);
                    outcome.done();
                }
                // There was another change in between.
                Some(_) => outcome.moved.push(key),
            }
        }
        for at in touched {
            let Pending {
                record,
                head,
                changes,
                ..
            } = &mut later[at];
            if let Err(error) = record.rewrite(head, changes.list()) {
                outcome.failed(format!("the record of {}", head.id), error);
            }
        }
        left
    }

    /// Whether a change that is being made right now concerns the same things.
    fn is_met(state: &ConfirmState, id: ConfirmId) -> bool {
        let mut making = state.pending.iter().filter(|p| p.stage == Stage::Making);
        let of = state.pending.iter().find(|p| p.head.id == id);
        let keys: Vec<Key> = of
            .map(|p| p.changes.list().iter().map(Change::key).collect())
            .unwrap_or_default();
        making.any(|p| keys.iter().any(|key| p.changes.find(key).is_some()))
    }

    fn conclude(
        &self,
        head: &Head,
        why: &str,
        outcome: Outcome,
    ) -> Result<RevertedChange, ConfirmError> {
        let Head {
            id,
            client,
            summary,
            ..
        } = head;
        // The record goes once the disk has what was restored, not before.
        let is_on_disk = self.firewall.sync();
        let mut state = self.state.lock();
        let mut failed = outcome.failed;
        if failed.is_empty()
            && let Some(pending) = state.get(*id)
            && let Err(left) = forget(pending, is_on_disk)
        {
            // It is undone, and must not be undone again if the same change is made once more.
            pending.changes = Changes::default();
            let before = pending.undone.get_or_insert_default();
            before.0 += outcome.restored;
            before.1.extend(outcome.moved.iter().cloned());
            failed.push(left);
        }
        if !failed.is_empty() {
            return Err(again_later(&mut state, head, &failed));
        }
        let before = state.get(*id).and_then(|pending| pending.undone.take());
        let (mut restored, mut moved) = before.unwrap_or_default();
        restored += outcome.restored;
        moved.extend(outcome.moved);
        state.pending.retain(|p| p.head.id != *id);
        let left_alone: Vec<String> = moved.iter().take(NAMED).map(Key::name).collect();
        tracing::warn!(
            "{client}'s change {id} ({summary}) is undone, {why}: {restored} restored, {}",
            left(moved.len(), &left_alone)
        );
        let reverted = RevertedChange {
            id: *id,
            client: client.clone(),
            summary: summary.clone(),
            at: self.firewall.now(),
            restored,
            left_alone,
        };
        state.reverted.push_back(reverted.clone());
        while state.reverted.len() > REMEMBERED {
            state.reverted.pop_front();
        }
        Ok(reverted)
    }
}

/// Remembers why a change is not undone, or not durably, and schedules the next attempt.
fn again_later(state: &mut ConfirmState, head: &Head, failed: &[String]) -> ConfirmError {
    let Head {
        id,
        client,
        summary,
        ..
    } = head;
    let problem = match failed {
        [one] => one.clone(),
        all => format!("{}; and {} more", all[0], all.len() - 1),
    };
    if let Some(pending) = state.get(*id) {
        if pending.problem.as_ref() != Some(&problem) {
            tracing::error!(
                "{client}'s unconfirmed change {id} ({summary}) cannot be undone, trying again: {problem}"
            );
        }
        pending.stage = Stage::Waiting;
        pending.due = Instant::now() + AGAIN;
        pending.problem = Some(problem.clone());
    }
    ConfirmError::NotYet(problem)
}

/// Removes the record of a change that is undone, or says why it stays.
fn forget(pending: &Pending, is_on_disk: bool) -> Result<(), String> {
    if !is_on_disk {
        return Err(
            "it is undone, but the disk does not take that, so its record stays, and a restart would undo it again: make room, or mend the disk"
                .to_owned(),
        );
    }
    pending.record.remove().map_err(|error| {
        format!("it is undone, but its record cannot be removed, and a restart would undo it again: {error}")
    })
}

/// The things that were left alone, for the log.
fn left(count: usize, named: &[String]) -> String {
    if count == 0 {
        return "nothing left alone".to_owned();
    }
    let more = if count > named.len() { ", …" } else { "" };
    let named = named.join(", ");
    format!("{count} left alone, since they were changed afterwards: {named}{more}")
}

fn origin(client: &ClientName, head: &Head) -> Origin {
    let detail = format!("unconfirmed change {} undone: {}", head.id, head.summary);
    Origin {
        actor: Actor::Client(client.clone()),
        metadata: Some(Arc::new(Metadata {
            kind: "couic".to_owned(),
            detail,
            extra: None,
        })),
    }
}

/// What sets claim once these changes are undone, as far as there was no other change in between.
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
            Change::File(file) => {
                let (after, before) = (file.after.as_deref(), file.before.as_deref());
                if let (Some(after), Some(before)) = (entries(after), entries(before)) {
                    // Where the rules do not follow the file, they have not followed this change.
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
