//! Undoing a change: claims by compare and set; for sets see `undo_sets`.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{ClientName, ConfirmId, Metadata, RevertedChange};

use super::{
    Change, ConfirmError, ConfirmState, Confirmations, REMEMBERED,
    change::Key,
    pending::{Changes, Pending, Stage},
    record::Head,
};
use crate::rules::{Actor, ClaimSwap, Origin, Swapped};

/// Between two attempts to undo a change.
pub(super) const AGAIN: Duration = Duration::from_secs(5);

/// How many of the things that were left alone are named.
const NAMED: usize = 20;

/// The outcome of each thing.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    restored: u64,
    /// Changed again afterwards, so left alone.
    pub(super) moved: Vec<Key>,
    /// Why some could not be put back.
    failed: Vec<String>,
}

impl Outcome {
    pub(super) fn done(&mut self) {
        self.restored += 1;
    }

    pub(super) fn failed(&mut self, what: impl std::fmt::Display, why: impl std::fmt::Display) {
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
            // Failures are in the log already.
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
                owner: Some(claim.claim.owner.clone()),
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

    /// Hands changes over to later unconfirmed changes that began with the state that this one left: undoing those
    /// leads back to the state before this one. Returns the changes that are left to undo here.
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
        // The record is removed once the restored state is on the disk, not before.
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
            target: "couic::audit",
            action = "undone",
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
