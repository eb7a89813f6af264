//! Commit-confirm: changes that are undone unless they are confirmed in time.
//!
//! Guarantees:
//! - The undo record is on the disk before a change is made. A crash or restart does not make the change permanent: it
//!   is undone at its time, or before the first packet if that has passed.
//! - A change is undone thing by thing: a claim, a set's file, a set's rules. Each gets its former state back. A thing
//!   that was changed again afterwards is left alone and named, unless that later change is unconfirmed, too: then it
//!   stands, and undoing it leads back to the state before this one.
//! - The sets of one change are restored together or not at all. A restoration that fails, say because of a full disk,
//!   is tried again until it succeeds.
//! - Problems that need an operator stay in health until they are solved: `watch`.
//! - A clock that is set back delays nothing: waiting is measured by one that does not jump, too.

mod change;
mod confirmable;
mod error;
mod orphan;
mod pending;
mod record;
mod session;
#[cfg(test)]
mod tests;
mod undo;
mod undo_sets;
mod watch;

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{ClientName, ConfirmId, PendingChange, RevertedChange};
use parking_lot::Mutex;

use crate::rules::{Firewall, SetStore};
pub use change::{Change, FileChange, SetChange};
pub use confirmable::{ConfirmableChange, Ticket};
use couic_files::{ensure_dir, refuses_data};
pub use error::ConfirmError;
use orphan::OrphanFile;
use pending::{Changes, Pending, Stage};
use record::{ENDING, Head, Record};
pub use session::ChangeSession;
use watch::{DAMAGED, Damaged};

/// How many changes can wait at a time.
pub const MAX_PENDING: usize = 64;

/// Bytes of memory that they may take together: some 260,000 rules.
const MAX_WEIGHT: usize = 64 << 20;

/// How many undone changes are remembered.
const REMEMBERED: usize = 16;

/// Below the working directory.
const DIR: &str = "confirm";

#[derive(Debug, Default)]
struct ConfirmState {
    /// In the order in which they were made.
    pending: Vec<Pending>,
    reverted: VecDeque<RevertedChange>,
    /// Set files that differ from the rules, since undoing left them alone.
    orphans: Vec<OrphanFile>,
    damaged: Vec<Damaged>,
    /// Why records cannot be written that are gone.
    unsaved: Option<io::Error>,
    /// When these were checked last.
    looked: Option<Instant>,
}

impl ConfirmState {
    fn get(&mut self, id: ConfirmId) -> Option<&mut Pending> {
        self.pending.iter_mut().find(|p| p.head.id == id)
    }
}

/// All changes that wait to be confirmed.
pub struct Confirmations {
    firewall: Arc<Firewall>,
    sets: Arc<SetStore>,
    dir: PathBuf,
    state: Mutex<ConfirmState>,
    /// One at a time is undone.
    undoing: Mutex<()>,
}

impl std::fmt::Debug for Confirmations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Confirmations").finish_non_exhaustive()
    }
}

impl Confirmations {
    /// Restores unconfirmed changes, and undoes those that are overdue at once: call this when the rules are in force,
    /// and before the first packet is filtered. A record that cannot be read is set aside, and named in log and health.
    /// A disk that takes no data is no error: confirmable changes are refused then.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn open(
        working_dir: &Path,
        firewall: Arc<Firewall>,
        sets: Arc<SetStore>,
    ) -> io::Result<Self> {
        let dir = working_dir.join(DIR);
        let files = match ensure_dir(&dir, 0o700) {
            // Without the directory there is nothing to undo, and no change can be made with a way back.
            Err(error) if refuses_data(&error) => None,
            other => Some(other.and_then(|()| fs::read_dir(&dir))?),
        };
        let mut state = ConfirmState::default();
        for file in files.into_iter().flatten() {
            let path = file?.path();
            let is = |ending| path.extension().is_some_and(|found| found == ending);
            if is(ENDING) {
                match restored(&path, firewall.now_ms()) {
                    Ok(pending) => state.pending.push(pending),
                    Err(error) => state.damaged.push(watch::set_aside(&path, &error)),
                }
            } else if is(DAMAGED) {
                state.damaged.push(Damaged::at(path));
            }
        }
        state.pending.sort_by_key(|p| p.head.order);
        let all = Self {
            firewall,
            sets,
            dir,
            state: Mutex::new(state),
            undoing: Mutex::default(),
        };
        all.undo_due();
        Ok(all)
    }

    /// Begins a change that `client` has to confirm within so many seconds.
    ///
    /// # Errors
    /// [`ConfirmError::TooMany`].
    pub fn begin(
        self: &Arc<Self>,
        client: &ClientName,
        within: u64,
        summary: String,
    ) -> Result<ConfirmableChange, ConfirmError> {
        let mut state = self.state.lock();
        if state.pending.len() >= MAX_PENDING {
            return Err(ConfirmError::TooMany);
        }
        let mut id = ConfirmId::new(uuid::Uuid::new_v4().as_fields().0);
        while state.get(id).is_some() {
            id = ConfirmId::new(uuid::Uuid::new_v4().as_fields().0);
        }
        let (made, until_ms) = (self.firewall.now(), deadline(&self.firewall, within));
        let head = Head {
            id,
            order: state.pending.last().map_or(0, |p| p.head.order + 1),
            client: client.clone(),
            summary,
            made,
            within,
            until: until_ms / 1_000,
            until_ms,
        };
        state.pending.push(Pending {
            record: Record::new(&self.dir, id),
            changes: Changes::default(),
            stage: Stage::Making,
            due: Instant::now() + Duration::from_secs(within),
            problem: None,
            undone: None,
            head,
        });
        Ok(ConfirmableChange::new(Arc::clone(self), id))
    }

    /// Makes a change permanent, if `client` (None = any) made it.
    ///
    /// # Errors
    /// `Unknown`, `Undone`, `Busy`, `Unremoved`.
    pub fn confirm(&self, id: ConfirmId, client: Option<&ClientName>) -> Result<(), ConfirmError> {
        let mut state = self.state.lock();
        let pending = self.waiting(&mut state, id, client)?;
        pending.record.remove().map_err(ConfirmError::Unremoved)?;
        let (made_by, summary) = (&pending.head.client, &pending.head.summary);
        tracing::info!(target: "couic::audit", action = "confirmed", "{made_by}'s change {id} ({summary}) is confirmed");
        let confirmed = state.pending.iter().position(|p| p.head.id == id);
        if let Some(at) = confirmed {
            let confirmed = state.pending.remove(at);
            supersede(&mut state.pending[..at], &confirmed);
        }
        Ok(())
    }

    /// Undoes a change now, if `client` (None = any) made it.
    ///
    /// # Errors
    /// `Unknown`, `Undone`, `Busy`, `NotYet`.
    pub fn undo(
        &self,
        id: ConfirmId,
        client: Option<&ClientName>,
    ) -> Result<RevertedChange, ConfirmError> {
        self.waiting(&mut self.state.lock(), id, client)?;
        self.undo_one(id, "as requested")
    }

    fn waiting<'s>(
        &self,
        state: &'s mut ConfirmState,
        id: ConfirmId,
        client: Option<&ClientName>,
    ) -> Result<&'s mut Pending, ConfirmError> {
        let is_own = |name: &ClientName| client.is_none_or(|client| client == name);
        let undone = state.reverted.iter().rev();
        let undone = undone.filter(|r| is_own(&r.client)).find(|r| r.id == id);
        let undone = undone.map(|r| self.firewall.now().saturating_sub(r.at));
        match state.get(id) {
            Some(pending) if !is_own(&pending.head.client) => Err(ConfirmError::Unknown(id)),
            Some(pending) if pending.stage == Stage::Waiting => Ok(pending),
            Some(_) => Err(ConfirmError::Busy(id)),
            None => Err(match undone {
                Some(ago) => ConfirmError::Undone(id, ago),
                None => ConfirmError::Unknown(id),
            }),
        }
    }

    /// Pending and undone changes of one client (None = of all).
    #[must_use]
    pub fn list(&self, client: Option<&ClientName>) -> couic_common::Confirmations {
        let now = self.firewall.now();
        let state = self.state.lock();
        let is_own = |name: &ClientName| client.is_none_or(|client| client == name);
        let waiting = state.pending.iter().filter(|p| p.stage != Stage::Making);
        let pending: Vec<PendingChange> = waiting
            .filter(|p| is_own(&p.head.client))
            .map(|p| p.shown(now))
            .collect();
        let reverted = state.reverted.iter().filter(|r| is_own(&r.client));
        couic_common::Confirmations {
            pending,
            reverted: reverted.cloned().collect(),
            problems: state.problems(),
        }
    }

    /// How many wait.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        let state = self.state.lock();
        let waiting = state.pending.iter().filter(|p| p.stage != Stage::Making);
        waiting.count()
    }
}

/// A confirmed change is not for earlier changes to undo, even if it left things as they were.
fn supersede(earlier: &mut [Pending], confirmed: &Pending) {
    for pending in earlier {
        let keys = confirmed.changes.list().iter().map(Change::key);
        let known = keys.filter_map(|key| pending.changes.find(&key).cloned());
        let voided: Vec<Change> = known.map(Change::voided).collect();
        if voided.is_empty() {
            continue;
        }
        pending.changes.set(voided);
        let written = pending
            .record
            .rewrite(&pending.head, pending.changes.list());
        if let Err(error) = written {
            let id = pending.head.id;
            tracing::error!("the record of the unconfirmed change {id} is not exact: {error}");
        }
    }
}

/// When a change that is made now is undone, Unix milliseconds.
fn deadline(firewall: &Firewall, within: u64) -> u64 {
    let within = within.saturating_mul(1_000);
    firewall.now_ms().saturating_add(within)
}

/// Restores an unconfirmed change from its record, at `now` in Unix milliseconds.
fn restored(path: &Path, now: u64) -> io::Result<Pending> {
    let (record, head, changes) = Record::read(path)?;
    // A clock that was set back must not put it off for longer than was asked for.
    let most = head.within.saturating_mul(1_000);
    let left = head.until_ms.saturating_sub(now).min(most);
    let mut pending = Pending {
        due: Instant::now() + Duration::from_millis(left),
        record,
        changes: Changes::default(),
        stage: Stage::Waiting,
        problem: None,
        undone: None,
        head,
    };
    pending.changes.set(changes);
    Ok(pending)
}
