//! Delivery: what a notifier must not have to care about.
//!
//! A [`Notifier`] makes one attempt and says how it ended. The [`NotificationDispatcher`] makes of that:
//! - **at least once per notifier**: what was accepted is delivered or ends as a dead letter with a reason, across
//!   crash and restart. Every attempt carries the same id; duplicates happen only when the process dies between a
//!   delivery and its acknowledgement;
//! - **isolation**: one task, queue, pace and spool per notifier. Producers only hand over and never wait;
//! - **order**: first in, first out, one in flight. What may pass (no connection, 5xx, 429) holds the head, what will
//!   not removes only that message;
//! - **bounds** by events, bytes and age ([`Policy`]): over 80 % neighbours are merged, full means that the oldest of
//!   the least severe go, counted, and one notice tells how many;
//! - **manners**: full jitter between attempts, `Retry-After` never undercut (across a restart neither), a pace, parts
//!   of bounded size, and no hammering on 401, 403, 404, 410.
//!
//! It is a [`Notifier`] itself, so that groups compose: as one, it reports success once every member has the
//! notification on disk.

mod clock;
mod envelope;
mod figures;
mod lane;
mod merge;
mod once;
mod operate;
mod parts;
mod policy;
mod queue;
mod relief;
mod retry;
pub mod spool;
mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verdict;
mod worker;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

pub use figures::{FIGURES, Figure};
pub use policy::{Merge, Policy};
pub use status::{
    ATTEMPT_BUCKETS, AttemptTimes, Counters, DeadLetter, LaneState, LastError, NotifierStatus,
    OperateError, SpoolState, TestOutcome,
};

use clock::Clock;
use couic_common::NotifierBackend;
use couic_plugin_api::{Notification, Notifier, NotifyError, Receipt, Severity, async_trait};
use lane::Lane;
use parts::Limits;
use spool::{Durability, Spool, SpoolConfig};
use worker::{TestRequest, Worker};

/// How long a drain waits for the disk, after its deadline.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

/// Tells how a notifier is run.
pub type About = Arc<dyn Fn() -> NotifierBackend + Send + Sync>;

/// A notifier of the group, with its limits.
#[derive(Clone)]
pub struct Member {
    /// The notifier.
    pub notifier: Arc<dyn Notifier>,
    /// Its limits.
    pub policy: Policy,
    /// How it is run, where that is known.
    pub about: Option<About>,
    /// Why it has failed before its first attempt, if it has: nothing is tried before an operator says so.
    pub failed: Option<String>,
}

impl Member {
    /// A member with these limits.
    #[must_use]
    pub fn new(notifier: Arc<dyn Notifier>, policy: Policy) -> Self {
        Self {
            notifier,
            policy,
            about: None,
            failed: None,
        }
    }
}

/// Why a group cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    /// The name cannot be a folder's, or is used twice.
    #[error("notifier name {name:?}: {why}")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// What is left after a drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The notifier.
    pub name: String,
    /// Notifications that were not delivered.
    pub events: usize,
    /// Where they are: on disk they are delivered after the next start.
    pub kept: Durability,
}

struct Running {
    lane: Arc<Lane>,
    tests: mpsc::Sender<TestRequest>,
}

/// A group of notifiers. See the [module](self).
pub struct NotificationDispatcher {
    name: String,
    source: String,
    members: Vec<Running>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    stopping: watch::Sender<Option<Instant>>,
    clock: Clock,
}

impl std::fmt::Debug for NotificationDispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members: Vec<_> = self
            .members
            .iter()
            .map(|member| &member.lane.name)
            .collect();
        f.debug_struct("NotificationDispatcher")
            .field("name", &self.name)
            .field("members", &members)
            .finish_non_exhaustive()
    }
}

impl NotificationDispatcher {
    /// Starts one task per member, inside the current tokio runtime. Each member's spool is a folder of its name in
    /// `spool_dir`; without that, all is in memory. Reading the spools back blocks for a moment. A spool that cannot
    /// be opened is an alarm, not an error: that member is memory only.
    ///
    /// `source` is this server's name, as notices of the dispatcher itself show it.
    ///
    /// # Errors
    /// [`DispatchError::BadName`].
    pub fn start(
        name: &str,
        source: &str,
        spool_dir: Option<&Path>,
        members: Vec<Member>,
    ) -> Result<Self, DispatchError> {
        check_names(&members)?;
        let clock = Clock::new();
        let stopping = watch::Sender::new(None);
        let mut running = Vec::new();
        let mut tasks = Vec::new();
        for member in members {
            let dir = spool_dir.map(|dir| dir.join(member.notifier.name()));
            let spool = open_spool(dir, member.notifier.name());
            let lane = Arc::new(Lane::new(member, spool, clock));
            let (tests, requests) = mpsc::channel(1);
            let worker = Worker::new(
                Arc::clone(&lane),
                source.to_owned(),
                requests,
                stopping.subscribe(),
            );
            tasks.push(tokio::spawn(worker.run()));
            running.push(Running { lane, tests });
        }
        Ok(Self {
            name: name.to_owned(),
            source: source.to_owned(),
            members: running,
            tasks: Mutex::new(tasks),
            stopping,
            clock,
        })
    }

    /// Hands a notification to every member. Never waits; [`durable`](Self::durable) tells when it is safe.
    ///
    /// A long list of reports is taken as several notifications, each with an id of its own.
    ///
    /// # Errors
    /// [`NotifyError::Cancelled`] once the group is stopping, [`NotifyError::Permanent`] for what cannot be stored.
    pub fn enqueue(&self, notification: &Notification) -> Result<(), NotifyError> {
        self.enqueue_where(notification, |_| true)
    }

    /// Hands a notification to the members whose lane is `meant`.
    fn enqueue_where(
        &self,
        notification: &Notification,
        meant: impl Fn(&Lane) -> bool,
    ) -> Result<(), NotifyError> {
        if self.stopping.borrow().is_some() {
            return Err(NotifyError::Cancelled);
        }
        let queued = self.clock.unix_secs();
        let mut sealed: HashMap<usize, Vec<Sealed>> = HashMap::new();
        let mut outcome = Ok(());
        for member in self.members.iter().filter(|member| meant(&member.lane)) {
            let reports = member.lane.policy.part_reports.max(1);
            let parts = match sealed.entry(reports) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(seal(notification, reports, queued)?),
            };
            for (severity, payload) in parts {
                let taken = member.lane.enqueue(*severity, queued, Arc::clone(payload));
                // One that cannot take it is no reason to leave out the others.
                outcome = outcome.and(taken.map_err(NotifyError::permanent));
            }
        }
        outcome
    }

    /// Waits until all that was handed over so far is on every member's disk, or known not to get there for now.
    pub async fn durable(&self) -> Durability {
        let mut all = Durability::Disk;
        for member in &self.members {
            if member.lane.durable().await == Durability::Memory {
                all = Durability::Memory;
            }
        }
        all
    }

    /// Takes no more, and delivers what can be delivered within this time. What is left stays in the spools.
    pub async fn drain(&self, within: Duration) -> Vec<Leftover> {
        let deadline = Instant::now() + within;
        self.stopping.send_replace(Some(deadline));
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for mut task in tasks {
            if timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
        let mut left = Vec::new();
        for member in &self.members {
            // A disk that hangs must not hang the shutdown.
            let settled = timeout_at(deadline + DISK_PATIENCE, member.lane.durable()).await;
            let kept = settled.unwrap_or(Durability::Memory);
            member.lane.inner.lock().state = LaneState::Stopped;
            let events = member.lane.inner.lock().queue.len();
            if events > 0 {
                let name = member.lane.name.clone();
                left.push(Leftover { name, events, kept });
            }
        }
        left
    }
}

impl Drop for NotificationDispatcher {
    /// Without a drain the tasks end at once. Their spools write what they have.
    fn drop(&mut self) {
        self.tasks.lock().iter().for_each(JoinHandle::abort);
    }
}

#[async_trait]
impl Notifier for NotificationDispatcher {
    fn name(&self) -> &str {
        &self.name
    }

    /// Success means accepted: on disk, or in memory where there is no disk.
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        self.enqueue(notification)?;
        self.durable().await;
        Ok(Receipt::default())
    }
}

/// A part of a notification as it waits.
type Sealed = (Severity, Arc<[u8]>);

/// By bytes it is split when it goes out: here that would mean to write it all twice.
fn seal(
    notification: &Notification,
    reports: usize,
    queued: u64,
) -> Result<Vec<Sealed>, NotifyError> {
    let limits = Limits {
        reports,
        bytes: usize::MAX,
    };
    let mut sealed = Vec::new();
    let mut done = 0;
    loop {
        let (part, after) = parts::next(notification, done, limits);
        let payload = envelope::waiting(queued, &part);
        let payload = payload.map_err(|error| NotifyError::permanent(error.to_string()))?;
        sealed.push((part.severity, payload));
        done = after;
        if done >= parts::total(notification) {
            return Ok(sealed);
        }
    }
}

fn check_names(members: &[Member]) -> Result<(), DispatchError> {
    let mut seen = HashSet::new();
    for member in members {
        let name = member.notifier.name();
        let bad = |why| DispatchError::BadName {
            name: name.to_owned(),
            why,
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(fits) {
            return Err(bad(
                "1 to 64 letters, digits, '-', '_' or '.', and no '.' at the start",
            ));
        }
        if !seen.insert(name) {
            return Err(bad("another notifier has the same name"));
        }
    }
    Ok(())
}

fn open_spool(
    dir: Option<PathBuf>,
    name: &str,
) -> Result<Option<(Spool, spool::Recovered)>, String> {
    let Some(dir) = dir else { return Ok(None) };
    match Spool::open(&SpoolConfig::new(dir)) {
        Ok((spool, recovered)) => {
            let found = recovered.recovery;
            if found.damaged_bytes > 0 {
                tracing::error!(
                    notifier = name,
                    bytes = found.damaged_bytes,
                    "the notification spool was damaged: some notifications are lost. Check the disk"
                );
            }
            Ok(Some((spool, recovered)))
        }
        Err(error) => {
            tracing::error!(notifier = name, %error, "notifications are kept in memory only");
            Err(error.to_string())
        }
    }
}
