//! A change that waits to be confirmed, and a change that is being made.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{ConfirmId, PendingChange};

use super::{
    ConfirmError, Confirmations, MAX_WEIGHT, State,
    change::{Change, Key},
    record::{Head, Record},
};

/// A change with the way back.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) head: Head,
    pub(super) record: Record,
    pub(super) changes: Changes,
    pub(super) stage: Stage,
    /// By a clock that does not jump.
    pub(super) due: Instant,
    pub(super) problem: Option<String>,
    /// It is undone, but for its record: how many things were restored, and what was left alone.
    pub(super) undone: Option<(u64, Vec<Key>)>,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is being made.
    Making,
    /// It waits.
    Waiting,
    /// It is being undone.
    Undoing,
}

/// Changes, one for each thing, in the order in which things were met.
#[derive(Debug, Default)]
pub(super) struct Changes {
    list: Vec<Change>,
    at: HashMap<Key, usize>,
    weight: usize,
}

impl Changes {
    pub(super) fn find(&self, key: &Key) -> Option<&Change> {
        self.at.get(key).map(|at| &self.list[*at])
    }

    /// Puts each change in place of what is known of the same thing.
    pub(super) fn set(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.weight += change.weight();
            match self.at.get(&change.key()) {
                Some(at) => {
                    self.weight -= self.list[*at].weight();
                    self.list[*at] = change;
                }
                None => {
                    self.at.insert(change.key(), self.list.len());
                    self.list.push(change);
                }
            }
        }
    }

    pub(super) fn list(&self) -> &[Change] {
        &self.list
    }

    /// Forgets what came to nothing. True where there was any.
    fn compact(&mut self) -> bool {
        let count = self.list.len();
        let mut left = std::mem::take(self).list;
        left.retain(|change| !change.is_void());
        self.set(left);
        self.list.len() < count
    }
}

impl Pending {
    /// As clients see it.
    pub(super) fn shown(&self, now: u64) -> PendingChange {
        let Head {
            id,
            client,
            summary,
            made,
            until,
            ..
        } = self.head.clone();
        let keys: Vec<Key> = self.changes.list.iter().map(Change::key).collect();
        let mut sets: Vec<String> = keys.iter().filter_map(Key::set).collect();
        sets.sort_unstable();
        sets.dedup();
        let rules = self.changes.list.iter().filter_map(|change| match change {
            Change::Claim(claim) => Some((claim.before.is_some(), claim.after.is_some())),
            _ => None,
        });
        let rules: Vec<(bool, bool)> = rules.collect();
        let count = |what| rules.iter().filter(|rule| **rule == what).count() as u64;
        PendingChange {
            id,
            client,
            summary,
            made,
            until,
            left: until.saturating_sub(now),
            rules: rules.len() as u64,
            added: count((false, true)),
            removed: count((true, false)),
            sets,
            problem: self.problem.clone(),
        }
    }
}

/// A change that is being made. What it tells with [`Draft::will`] is on the disk before it is done. Dropped without
/// [`Draft::finish`], it waits to be confirmed all the same.
#[derive(Debug)]
pub struct Draft {
    owner: Arc<Confirmations>,
    id: ConfirmId,
    /// What was known of the things that the last `will` spoke of, before it.
    base: HashMap<Key, Option<Change>>,
    foretold: Vec<Change>,
    finished: bool,
}

impl Draft {
    pub(super) fn new(owner: Arc<Confirmations>, id: ConfirmId) -> Self {
        Self {
            owner,
            id,
            base: HashMap::new(),
            foretold: Vec::new(),
            finished: false,
        }
    }

    /// What is about to be done.
    ///
    /// # Errors
    /// [`ConfirmError`]; then do not do it.
    pub fn will(&mut self, changes: Vec<Change>) -> Result<(), ConfirmError> {
        self.base = HashMap::new();
        if changes.is_empty() {
            self.foretold = changes;
            return Ok(());
        }
        let mut state = self.owner.state.lock();
        let total: usize = state.pending.iter().map(|p| p.changes.weight).sum();
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
        self.foretold = changes;
        Ok(())
    }

    /// Adds to the record. A directory that somebody took away is made again, with every record that was in it.
    fn write(&self, state: &mut State, lines: &[Change]) -> Result<(), ConfirmError> {
        let pending = state.get(self.id).ok_or(ConfirmError::Gone)?;
        match pending.record.add(&pending.head, lines) {
            Err(error) if is_about_directory(&error) => {}
            other => return Ok(other?),
        }
        self.owner.mend_records(state)?;
        let pending = state.get(self.id).ok_or(ConfirmError::Gone)?;
        Ok(pending.record.add(&pending.head, lines)?)
    }

    /// What was done of it. Where that is what was foretold, nothing has to be written.
    pub fn did(&mut self, changes: Vec<Change>) {
        let base = std::mem::take(&mut self.base);
        if changes == std::mem::take(&mut self.foretold) {
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
            // What was foretold stands there: after a restart, what differs from it is left alone.
            tracing::error!(
                "the record of the unconfirmed change {} is not exact: {error}",
                self.id
            );
        }
        if let Some(pending) = state.get(self.id) {
            pending.changes.set(lines);
        }
    }

    /// Starts the time to confirm. None where nothing was changed.
    #[must_use]
    pub fn finish(mut self) -> Option<Ticket> {
        self.end()
    }

    fn end(&mut self) -> Option<Ticket> {
        self.finished = true;
        let now = self.owner.firewall.now();
        let mut state = self.owner.state.lock();
        let pending = state.get(self.id)?;
        let came_to_nothing = pending.changes.compact();
        if pending.changes.list.is_empty() {
            if let Err(error) = pending.record.remove() {
                tracing::warn!("the record of a change that was not made stays behind: {error}");
            }
            state.pending.retain(|p| p.head.id != self.id);
            return None;
        }
        let until = now.saturating_add(pending.head.within);
        let moved = std::mem::replace(&mut pending.head.until, until) != until;
        let written = if came_to_nothing {
            pending.record.rewrite(&pending.head, &pending.changes.list)
        } else if moved {
            pending.record.set_until(until)
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

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.end();
        }
    }
}

/// What the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// To be confirmed.
    pub id: ConfirmId,
    /// Until then, Unix seconds.
    pub until: u64,
}

/// What the directory is looked at for: it is not there, or is none.
fn is_about_directory(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Each change joined to what is known of the same thing.
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

impl From<io::Error> for ConfirmError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}
