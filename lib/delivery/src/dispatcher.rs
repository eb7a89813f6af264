//! The group: one task per notifier, and fan-out to all of them.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use couic_common::{NameError, NotifierName, NotifierState};
use couic_plugin_api::{Kind, Notification, Notifier, NotifyError, Receipt, Severity, async_trait};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{
    Member,
    clock::Clock,
    delivery_queue::DeliveryQueue,
    envelope,
    parts::{self, Limits},
    spool::{Durability, Recovered, Spool, SpoolConfig},
    worker::{TestRequest, Worker},
};

/// How long a drain waits for the disk, after its deadline.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

/// With as many waiting notifications, no traffic is queued.
const TRAFFIC_WAITING: usize = 60;

/// Why a group cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    /// The name cannot be that of a notifier, nor of its folder.
    #[error("notifier name {name:?}: {why}")]
    BadName {
        /// The name.
        name: String,
        /// The cause.
        why: NameError,
    },
    /// Two notifiers have this name.
    #[error("notifier name {name}: another notifier has the same name")]
    Twice {
        /// The name.
        name: NotifierName,
    },
}

/// What is left after a drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The notifier.
    pub name: String,
    /// Notifications that were not delivered.
    pub events: usize,
    /// Where they are: those on disk are delivered after the next start.
    pub kept: Durability,
}

pub(super) struct Running {
    pub(super) queue: Arc<DeliveryQueue>,
    pub(super) tests: mpsc::Sender<TestRequest>,
}

/// A group of notifiers. See the [crate](crate).
pub struct NotificationDispatcher {
    name: String,
    pub(super) source: String,
    pub(super) members: Vec<Running>,
    pub(super) tasks: Mutex<Vec<JoinHandle<()>>>,
    stopping: watch::Sender<Option<Instant>>,
    clock: Clock,
}

impl std::fmt::Debug for NotificationDispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members: Vec<_> = self
            .members
            .iter()
            .map(|member| &member.queue.name)
            .collect();
        f.debug_struct("NotificationDispatcher")
            .field("name", &self.name)
            .field("members", &members)
            .finish_non_exhaustive()
    }
}

impl NotificationDispatcher {
    /// Starts one task per member, inside the current tokio runtime. Each member's spool is a folder of its name in
    /// `spool_dir`; without it, queues are in memory. Blocks while it reads the spools. A spool that cannot be opened
    /// is an alarm, not an error: that member is memory only.
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
        let names = names(&members)?;
        let clock = Clock::new();
        let stopping = watch::Sender::new(None);
        let mut running = Vec::new();
        let mut tasks = Vec::new();
        for (name, member) in names.into_iter().zip(members) {
            let dir = spool_dir.map(|dir| dir.join(member.notifier.name()));
            let spool = open_spool(dir, member.notifier.name());
            let queue = Arc::new(DeliveryQueue::new(name, member, spool, clock));
            let (tests, requests) = mpsc::channel(1);
            let worker = Worker::new(
                Arc::clone(&queue),
                source.to_owned(),
                requests,
                stopping.subscribe(),
            );
            tasks.push(tokio::spawn(worker.run()));
            running.push(Running { queue, tests });
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

    /// Queues a notification for every member, traffic for those that accept it. Never waits; [`durable`](Self::durable) waits for the disk.
    ///
    /// A long list of reports becomes several notifications, each with its own id.
    ///
    /// # Errors
    /// [`NotifyError::Cancelled`] once the group is stopping, [`NotifyError::Permanent`] if it cannot be stored.
    pub fn enqueue(&self, notification: &Notification) -> Result<(), NotifyError> {
        self.enqueue_where(notification, |_| true)
    }

    /// Whether traffic may be queued: a member accepts it, and no member that does has many notifications waiting. If not,
    /// measure on, and queue one with the totals later: nothing is lost, and reports have the queue.
    #[must_use]
    pub fn has_room_for_traffic(&self) -> bool {
        let queues = self.members.iter().map(|member| &member.queue);
        let mut takers = queues.filter(|queue| queue.policy.traffic).peekable();
        takers.peek().is_some()
            && takers.all(|queue| queue.inner.lock().waiting.len() < TRAFFIC_WAITING)
    }

    /// Queues a notification for the members whose queue is `meant`.
    pub(super) fn enqueue_where(
        &self,
        notification: &Notification,
        meant: impl Fn(&DeliveryQueue) -> bool,
    ) -> Result<(), NotifyError> {
        if self.stopping.borrow().is_some() {
            return Err(NotifyError::Cancelled);
        }
        let queued = self.clock.unix_secs();
        let mut sealed: HashMap<usize, Vec<Sealed>> = HashMap::new();
        let mut outcome = Ok(());
        let is_traffic = matches!(notification.kind, Kind::Traffic(_));
        let accepts = |queue: &DeliveryQueue| !is_traffic || queue.policy.traffic;
        let meant = |member: &&Running| meant(&member.queue) && accepts(&member.queue);
        for member in self.members.iter().filter(meant) {
            let reports = member.queue.policy.part_reports.max(1);
            let parts = match sealed.entry(reports) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(seal(notification, reports, queued)?),
            };
            for (severity, payload) in parts {
                let taken = member.queue.enqueue(*severity, queued, Arc::clone(payload));
                // An error of one member does not affect the others.
                outcome = outcome.and(taken.map_err(NotifyError::permanent));
            }
        }
        outcome
    }

    /// Waits until everything queued so far is on every member's disk, or the disk has failed.
    pub async fn durable(&self) -> Durability {
        let mut all = Durability::Disk;
        for member in &self.members {
            if member.queue.durable().await == Durability::Memory {
                all = Durability::Memory;
            }
        }
        all
    }

    /// Accepts no more, and delivers what can be delivered within this time. The rest stays in the spools.
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
            let settled = timeout_at(deadline + DISK_PATIENCE, member.queue.durable()).await;
            let kept = settled.unwrap_or(Durability::Memory);
            member.queue.inner.lock().state = NotifierState::Stopped;
            let events = member.queue.inner.lock().waiting.len();
            if events > 0 {
                let name = member.queue.name.to_string();
                left.push(Leftover { name, events, kept });
            }
        }
        left
    }
}

impl Drop for NotificationDispatcher {
    /// Without a drain the tasks end at once. Their spools are flushed.
    fn drop(&mut self) {
        self.tasks.lock().iter().for_each(JoinHandle::abort);
    }
}

#[async_trait]
impl Notifier for NotificationDispatcher {
    fn name(&self) -> &str {
        &self.name
    }

    /// Success means accepted: on disk, or in memory without a spool.
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        self.enqueue(notification)?;
        self.durable().await;
        Ok(Receipt::default())
    }
}

/// A part of a notification in its stored form.
type Sealed = (Severity, Arc<[u8]>);

/// Splits by the number of reports. The split by bytes is left to delivery: here it would serialize everything twice.
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

fn names(members: &[Member]) -> Result<Vec<NotifierName>, DispatchError> {
    let mut names = Vec::new();
    for member in members {
        let name = member.notifier.name();
        let parsed = name.parse().map_err(|why| DispatchError::BadName {
            name: name.to_owned(),
            why,
        })?;
        if names.contains(&parsed) {
            return Err(DispatchError::Twice { name: parsed });
        }
        names.push(parsed);
    }
    Ok(names)
}

fn open_spool(dir: Option<PathBuf>, name: &str) -> Result<Option<(Spool, Recovered)>, String> {
    let Some(dir) = dir else { return Ok(None) };
    match Spool::open(&SpoolConfig::new(dir)) {
        Ok((spool, recovered)) => {
            recovered.recovery.log_damage(name);
            Ok(Some((spool, recovered)))
        }
        Err(error) => {
            tracing::error!(notifier = name, %error, "notifications are kept in memory only");
            Err(error.to_string())
        }
    }
}
