//! A confirmable change in progress, whose undo record is on the disk before anything is done.
//!
//! A change is predicted, made and recorded, in any number of steps; then it waits to be confirmed. If the prediction
//! cannot be written, the step is not made.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{Cidr, ConfirmId, Entry, Policy, RemovedByTag, TagPattern};

use super::{
    ConfirmError, ConfirmState, Confirmations, MAX_WEIGHT,
    change::{Change, Key},
    pending::Stage,
};
use crate::rules::{
    Actor, Applied, ClaimChange, ClaimScope, FirewallError, Job, Origin, count_rules,
};

/// A change that is being made. Dropped without [`ConfirmableChange::finish`], it waits to be confirmed all the same.
#[derive(Debug)]
pub struct ConfirmableChange {
    owner: Arc<Confirmations>,
    id: ConfirmId,
    /// The changes of the predicted things that were on record before.
    base: HashMap<Key, Option<Change>>,
    predicted: Vec<Change>,
    finished: bool,
}

impl ConfirmableChange {
    pub(super) fn new(owner: Arc<Confirmations>, id: ConfirmId) -> Self {
        Self {
            owner,
            id,
            base: HashMap::new(),
            predicted: Vec::new(),
            finished: false,
        }
    }

    /// Makes one change of a rule: [`Firewall::execute`](crate::rules::Firewall::execute).
    ///
    /// # Errors
    /// [`ConfirmError`], and inside of it why the rules refuse the change. Nothing has changed then.
    pub fn execute(
        &mut self,
        policy: Policy,
        job: Job,
        actor: Actor,
    ) -> Result<Result<Entry, FirewallError>, ConfirmError> {
        let firewall = Arc::clone(&self.owner.firewall);
        self.predict_jobs(policy, std::slice::from_ref(&job), &actor)?;
        let mut recorded = Vec::new();
        let result = firewall.execute_recorded(policy, job, actor, &mut recorded);
        self.record(wrapped(recorded));
        Ok(result)
    }

    /// Applies jobs, each validated separately: [`Firewall::apply`](crate::rules::Firewall::apply).
    ///
    /// # Errors
    /// [`ConfirmError`]; none of them is done then.
    pub fn apply(
        &mut self,
        policy: Policy,
        jobs: Vec<Job>,
        actor: &Actor,
    ) -> Result<Vec<Result<Applied, FirewallError>>, ConfirmError> {
        let firewall = Arc::clone(&self.owner.firewall);
        self.predict_jobs(policy, &jobs, actor)?;
        let mut recorded = Vec::new();
        let results = firewall.apply_recorded(policy, jobs, actor, Some(&mut recorded));
        self.record(wrapped(recorded));
        Ok(results)
    }

    /// Releases claims by tag: [`Firewall::remove_by_tag`](crate::rules::Firewall::remove_by_tag).
    ///
    /// # Errors
    /// [`ConfirmError`]; jobs that were done before it are pending as well.
    pub fn remove_by_tag(
        &mut self,
        policy: Policy,
        pattern: &TagPattern,
        all_owners: bool,
        Origin { actor, metadata }: &Origin,
    ) -> Result<RemovedByTag, ConfirmError> {
        let firewall = Arc::clone(&self.owner.firewall);
        let filter = firewall.tag_filter(policy, pattern);
        let (mut outcome, mut after): (RemovedByTag, Option<Cidr>) = Default::default();
        loop {
            let (found, last) =
                firewall.removable_by_tag(policy, &filter, all_owners, actor, after);
            let cidrs: Vec<Cidr> = found.iter().map(|(cidr, _)| *cidr).collect();
            let jobs = found.into_iter().map(|(cidr, tag)| {
                let tag = Some(tag);
                Job::Remove(cidr, ClaimScope { tag, all_owners }, metadata.clone())
            });
            let results = self.apply(policy, jobs.collect(), actor)?;
            count_rules(&mut outcome, cidrs.into_iter().zip(results));
            if last.is_none() {
                return Ok(outcome);
            }
            after = last;
        }
    }

    /// Makes a change that happens as predicted or not at all.
    ///
    /// # Errors
    /// [`ConfirmError`], and inside of it that of `work`. Nothing has changed then.
    pub fn make<T, E>(
        &mut self,
        changes: Vec<Change>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<Result<T, E>, ConfirmError> {
        self.predict(changes.clone())?;
        let result = work();
        self.record(if result.is_ok() { changes } else { Vec::new() });
        Ok(result)
    }

    fn predict_jobs(
        &mut self,
        policy: Policy,
        jobs: &[Job],
        actor: &Actor,
    ) -> Result<(), ConfirmError> {
        let predicted = self.owner.firewall.predict(policy, jobs, actor);
        self.predict(wrapped(predicted))
    }

    /// Writes the predicted changes to the record, before they are made.
    ///
    /// # Errors
    /// [`ConfirmError`]; then do not do it.
    pub(super) fn predict(&mut self, changes: Vec<Change>) -> Result<(), ConfirmError> {
        self.base = HashMap::new();
        if changes.is_empty() {
            self.predicted = changes;
            return Ok(());
        }
        let mut state = self.owner.state.lock();
        let total: usize = state.pending.iter().map(|p| p.changes.weight()).sum();
        let more: usize = changes.iter().map(Change::weight).sum();
        if total + more > MAX_WEIGHT {
            return Err(ConfirmError::TooMuch);
        }
        let pending = state.get(self.id).ok_or(ConfirmError::Gone)?;
        let mut base = HashMap::new();
        for change in &changes {
            let key = change.key();
            let was = pending.changes.find(&key).cloned();
            base.entry(key).or_insert(was);
        }
        let lines = chained(&base, changes.clone());
        self.write(&mut state, &lines)?;
        let pending = state.get(self.id).ok_or(ConfirmError::Gone)?;
        pending.changes.set(lines);
        self.base = base;
        self.predicted = changes;
        Ok(())
    }

    /// Adds to the record. A directory that was removed is made again, with every record that was in it.
    fn write(&self, state: &mut ConfirmState, lines: &[Change]) -> Result<(), ConfirmError> {
        let pending = state.get(self.id).ok_or(ConfirmError::Gone)?;
        match pending.record.add(&pending.head, lines) {
            Err(error) if is_about_directory(&error) => {}
            other => return Ok(other?),
        }
        self.owner.mend_records(state)?;
        let pending = state.get(self.id).ok_or(ConfirmError::Gone)?;
        Ok(pending.record.add(&pending.head, lines)?)
    }

    /// Writes the actual changes to the record, if they differ from the prediction.
    fn record(&mut self, changes: Vec<Change>) {
        let base = std::mem::take(&mut self.base);
        if changes == std::mem::take(&mut self.predicted) {
            return;
        }
        let mut lines = chained(&base, changes);
        let done: Vec<Key> = lines.iter().map(Change::key).collect();
        let mut state = self.owner.state.lock();
        let Some(pending) = state.get(self.id) else {
            return;
        };
        for (key, was) in base.into_iter().filter(|(key, _)| !done.contains(key)) {
            let now = pending.changes.find(&key).cloned().map(Change::voided);
            lines.extend(was.or(now));
        }
        if let Err(error) = self.write(&mut state, &lines) {
            // The record has the prediction: after a restart, things that differ from it are left alone.
            tracing::error!(
                "the record of the unconfirmed change {} is not exact: {error}",
                self.id
            );
        }
        if let Some(pending) = state.get(self.id) {
            pending.changes.set(lines);
        }
    }

    /// Starts the time to confirm. None if nothing was changed.
    #[must_use]
    pub fn finish(mut self) -> Option<Ticket> {
        self.end()
    }

    fn end(&mut self) -> Option<Ticket> {
        self.finished = true;
        let mut state = self.owner.state.lock();
        let pending = state.get(self.id)?;
        let until_ms = super::deadline(&self.owner.firewall, pending.head.within);
        let came_to_nothing = pending.changes.compact();
        if pending.changes.list().is_empty() {
            if let Err(error) = pending.record.remove() {
                tracing::warn!("the record of a change that was not made stays behind: {error}");
            }
            state.pending.retain(|p| p.head.id != self.id);
            return None;
        }
        let until = until_ms / 1_000;
        let moved = std::mem::replace(&mut pending.head.until_ms, until_ms) != until_ms;
        pending.head.until = until;
        let written = if came_to_nothing {
            pending
                .record
                .rewrite(&pending.head, pending.changes.list())
        } else if moved {
            pending.record.set_until(until_ms)
        } else {
            Ok(())
        };
        if let Err(error) = written {
            tracing::warn!(
                "a restart would undo the change {} earlier: {error}",
                self.id
            );
        }
        pending.due = Instant::now() + Duration::from_secs(pending.head.within);
        pending.stage = Stage::Waiting;
        Some(Ticket { id: self.id, until })
    }
}

impl Drop for ConfirmableChange {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.end();
        }
    }
}

/// A change that a client has to confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// To be confirmed.
    pub id: ConfirmId,
    /// Until then, Unix seconds.
    pub until: u64,
}

/// Whether the directory is missing, or is none.
fn is_about_directory(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn wrapped(changes: Vec<ClaimChange>) -> Vec<Change> {
    changes.into_iter().map(Change::Claim).collect()
}

/// Each change merged with the known one of the same thing.
fn chained(base: &HashMap<Key, Option<Change>>, changes: Vec<Change>) -> Vec<Change> {
    let mut order: Vec<Key> = Vec::new();
    let mut latest: HashMap<Key, Change> = HashMap::new();
    for change in changes {
        let key = change.key();
        let earlier = latest.get(&key).or_else(|| base.get(&key)?.as_ref());
        let change = change.after(earlier);
        if latest.insert(key.clone(), change).is_none() {
            order.push(key);
        }
    }
    order
        .into_iter()
        .filter_map(|key| latest.remove(&key))
        .collect()
}
