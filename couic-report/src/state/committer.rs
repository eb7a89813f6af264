//! The thread that owns the state, and the handle through which other tasks change it.

use std::{fs::File, io, path::Path, sync::Arc, thread, time::Duration};

use couic_durable::{Alarm, Folder, Pause};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{
    Batch, FORMAT, Seal, Sealed, StateError, TrafficRecord,
    ledger::Ledger,
    record,
    recover::{self, Recovered},
    store::Store,
};
use crate::{
    config,
    history::{Archive, History},
};

/// How many requests may wait for the disk. Their bodies are bounded elsewhere.
const WAITING: usize = 1024;

/// The size at which a group is written; later records join the next.
const GROUP_BYTES: usize = 16 << 20;

/// How long to wait after a failed snapshot.
const SNAPSHOT_RETRY: Duration = Duration::from_secs(10);

/// The result of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// Counted, and on disk.
    Counted,
    /// A request with this id was counted before.
    Repeated,
}

/// The record could not be written. Nothing was counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state cannot be written: {0}")]
pub(crate) struct Refused(pub(crate) String);

/// Status of the open interval and of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overview {
    /// When it started, Unix seconds.
    pub(crate) from: u64,
    pub(crate) adds: u64,
    pub(crate) removes: u64,
    pub(crate) distinct: u64,
    pub(crate) estimated: bool,
    /// Summaries that wait for the dispatcher.
    pub(crate) outbox: usize,
    /// Length of the journal.
    pub(crate) journal_bytes: u64,
    /// Groups that were written, each with one fdatasync.
    pub(crate) commits: u64,
    /// Groups that could not be written.
    pub(crate) failures: u64,
    /// Why the last group could not be written; None if it was.
    pub(crate) failure: Option<String>,
}

enum Command {
    Write(Write),
    Outbox(oneshot::Sender<Vec<Sealed>>),
}

/// A record to write and apply.
struct Write {
    /// The request's id, if it has one.
    id: Option<Uuid>,
    payload: Vec<u8>,
    reply: oneshot::Sender<Result<Accepted, Refused>>,
}

/// The handle. Clones share the same state; the thread ends when the last one is dropped.
#[derive(Clone)]
pub(crate) struct Journal {
    commands: mpsc::Sender<Command>,
    overview: Arc<Mutex<Overview>>,
    history: History,
}

/// The thread. Joining it makes sure that everything is written.
pub(crate) struct Committer(thread::JoinHandle<()>);

impl Journal {
    /// Recovers the state in a folder, or creates one, and starts its thread. Also returns messages about damage.
    pub(crate) fn open(
        dir: &Path,
        now: u64,
        limits: config::History,
        thresholds: config::Thresholds,
    ) -> Result<(Self, Committer, Vec<String>), StateError> {
        let archive = Archive::new(dir, limits);
        let Recovered {
            ledger,
            store,
            lock,
            damage,
        } = recover::open(dir, now, archive.clone())?;
        let books = Arc::clone(&ledger.books);
        let state = Folder::new(dir, FORMAT);
        let history = History::new(books, state, archive, thresholds);
        let (commands, inbox) = mpsc::channel(WAITING);
        let overview = Arc::new(Mutex::default());
        let mut owner = Owner {
            ledger,
            store,
            overview: Arc::clone(&overview),
            commits: 0,
            alarm: Alarm::default(),
            snapshot_pause: Pause::new(SNAPSHOT_RETRY, SNAPSHOT_RETRY),
            _lock: lock,
        };
        owner.publish();
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || owner.run(inbox))
            .map_err(|source| StateError::Io {
                path: dir.to_owned(),
                source,
            })?;
        let journal = Self {
            commands,
            overview,
            history,
        };
        Ok((journal, Committer(thread), damage))
    }

    /// Counts a batch; returns once it is on disk.
    pub(crate) async fn accept(&self, batch: Batch) -> Result<Accepted, Refused> {
        self.write(batch.id, batch.payload).await
    }

    /// Counts the traffic of a firewall; returns once it is on disk.
    pub(crate) async fn traffic(&self, record: &TrafficRecord<'_>) -> Result<Accepted, Refused> {
        self.write(record.id, record.encode()).await
    }

    /// Ends the open interval.
    pub(crate) async fn seal(&self, seal: Seal) -> Result<(), Refused> {
        self.write(None, seal.encode()).await.map(drop)
    }

    /// Removes a summary, since the dispatcher has it.
    pub(crate) async fn handed(&self, id: Uuid) -> Result<(), Refused> {
        self.write(None, record::handed(id)).await.map(drop)
    }

    async fn write(&self, id: Option<Uuid>, payload: Vec<u8>) -> Result<Accepted, Refused> {
        self.ask(|reply| Command::Write(Write { id, payload, reply }))
            .await?
    }

    /// The summaries that wait for the dispatcher, oldest first.
    pub(crate) async fn outbox(&self) -> Result<Vec<Sealed>, Refused> {
        self.ask(Command::Outbox).await
    }

    /// The history of what was accepted.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// The open interval, as of the last group.
    pub(crate) fn overview(&self) -> Overview {
        self.overview.lock().clone()
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Refused> {
        let gone = || Refused("its thread has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

impl Committer {
    /// Waits until the thread has written everything; it ends once every [`Journal`] is dropped.
    pub(crate) fn join(self) {
        if self.0.join().is_err() {
            error!("the thread of the journal has panicked");
        }
    }
}

type Answer = (
    oneshot::Sender<Result<Accepted, Refused>>,
    Result<Accepted, Refused>,
);

struct Owner {
    ledger: Ledger,
    store: Store,
    overview: Arc<Mutex<Overview>>,
    commits: u64,
    alarm: Alarm,
    snapshot_pause: Pause,
    _lock: File,
}

impl Owner {
    fn run(&mut self, mut inbox: mpsc::Receiver<Command>) {
        while let Some(first) = inbox.blocking_recv() {
            let mut group = Vec::new();
            let mut bytes = self.take(first, &mut group);
            while bytes < GROUP_BYTES
                && let Ok(command) = inbox.try_recv()
            {
                bytes += self.take(command, &mut group);
            }
            if !group.is_empty() {
                self.commit(group);
            }
        }
        // A clean end: the next start does not have to replay.
        if let Err(error) = self.store.rotate(&self.ledger) {
            warn!("no snapshot at the end ({error}): the next start replays the journal");
        }
    }

    /// Answers a question, or adds a record to the group. Returns its size.
    fn take(&self, command: Command, group: &mut Vec<Write>) -> usize {
        match command {
            Command::Outbox(reply) => {
                // On error the caller has gone; here and below.
                drop(reply.send(self.ledger.outbox.iter().cloned().collect()));
                0
            }
            Command::Write(write) => {
                let bytes = write.payload.len();
                group.push(write);
                bytes
            }
        }
    }

    /// Writes a group, applies it, and answers.
    fn commit(&mut self, group: Vec<Write>) {
        let (known, new): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|write| write.id.is_some_and(|id| self.ledger.knows(id)));
        let mut answers: Vec<Answer> = known
            .into_iter()
            .map(|write| (write.reply, Ok(Accepted::Repeated)))
            .collect();
        if !new.is_empty() {
            answers.extend(self.write(new));
        }
        // Before the answers: a client that was answered sees its change in the state.
        self.publish();
        for (reply, answer) in answers {
            drop(reply.send(answer));
        }
    }

    fn write(&mut self, new: Vec<Write>) -> Vec<Answer> {
        let payloads = new.iter().map(|write| &*write.payload);
        let written = if self.store.must_rotate() {
            let rotated = self.store.rotate(&self.ledger);
            rotated.and_then(|()| self.store.append(payloads))
        } else {
            self.store.append(payloads)
        };
        match written {
            Ok(()) => self.apply(new),
            Err(error) => self.refuse(new, &error),
        }
    }

    fn apply(&mut self, group: Vec<Write>) -> Vec<Answer> {
        if self.alarm.clear() {
            info!("the state can be written again");
        }
        self.commits += 1;
        let interval = self.ledger.interval;
        let mut answers = Vec::with_capacity(group.len());
        for write in group {
            // Twice in one group: both are on disk, and the ledger counts only the first, now and in a replay.
            let repeated = write.id.is_some_and(|id| self.ledger.knows(id));
            if self.ledger.apply(&write.payload).is_err() {
                error!("a record of its own is invalid: this is a bug of couic-report");
            }
            let accepted = if repeated {
                Accepted::Repeated
            } else {
                Accepted::Counted
            };
            answers.push((write.reply, Ok(accepted)));
        }
        let has_ended = self.ledger.interval != interval;
        if self.store.is_long() || (has_ended && self.store.is_due()) {
            self.snapshot();
        }
        answers
    }

    /// Replaces the log by a snapshot. On error, the log is continued.
    fn snapshot(&mut self) {
        if !self.snapshot_pause.is_over() {
            return;
        }
        let written = self.store.rotate(&self.ledger);
        self.snapshot_pause.tried(written.is_ok());
        if let Err(error) = written {
            warn!("no snapshot could be written ({error}): the journal is continued and grows");
        }
    }

    fn refuse(&mut self, group: Vec<Write>, error: &io::Error) -> Vec<Answer> {
        let text = error.to_string();
        if self.alarm.raise(&text) {
            error!(
                "the state cannot be written ({text}): reports are refused with 503 until it can; \
                 free space for the state folder"
            );
        }
        group
            .into_iter()
            .map(|write| (write.reply, Err(Refused(text.clone()))))
            .collect()
    }

    fn publish(&self) {
        let figures = &self.ledger.figures;
        let (distinct, estimated) = figures.distinct();
        *self.overview.lock() = Overview {
            from: self.ledger.from,
            adds: figures.adds(),
            removes: figures.removes(),
            distinct,
            estimated,
            outbox: self.ledger.outbox.len(),
            journal_bytes: self.store.len(),
            commits: self.commits,
            failures: self.alarm.failures(),
            failure: (self.alarm.raised()).map(|(why, _)| why.to_owned()),
        };
    }
}
