//! The thread that receives the attacher's messages, and the state that it shares with the requests.

use std::{
    io,
    os::fd::AsFd,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use couic_privsep::{Channel, describe, wait_until};

use super::{AttacherError, LinkStore, PROBE_TIMEOUT};
use crate::attach::{
    attachments::InterfaceState,
    wire::{Level, Message},
};

/// Between the end of the channel and that of the process, which closes it as it exits.
const EXIT: Duration = Duration::from_secs(1);

pub(super) struct AttacherState {
    pub(super) process: Mutex<Child>,
    pub(super) report: Mutex<Report>,
    pub(super) repaired: AtomicU64,
    pub(super) left: AtomicU64,
    pub(super) stopping: AtomicBool,
    pub(super) ended: Notify,
    /// When the unanswered probe was sent.
    pub(super) probed: Mutex<Option<Instant>>,
    /// Whether the missing answer is logged.
    pub(super) logged: AtomicBool,
}

impl AttacherState {
    pub(super) fn of(process: Child) -> Self {
        Self {
            process: Mutex::new(process),
            report: Mutex::default(),
            repaired: AtomicU64::default(),
            left: AtomicU64::default(),
            stopping: AtomicBool::default(),
            ended: Notify::default(),
            probed: Mutex::default(),
            logged: AtomicBool::default(),
        }
    }

    /// How the process ended, after the end of its channel.
    pub(super) fn end(&self) -> AttacherError {
        let status = wait_until(&mut self.process.lock(), Instant::now() + EXIT);
        let how = status.map_or_else(|| "has closed its channel".to_owned(), describe);
        AttacherError::Ended(how)
    }

    /// How long the probe has been unanswered; `None` within [`PROBE_TIMEOUT`].
    pub(super) fn unanswered(&self) -> Option<Duration> {
        let waited = self.probed.lock().map(|sent| sent.elapsed());
        waited.filter(|waited| *waited >= PROBE_TIMEOUT)
    }

    fn has_answered(&self) {
        *self.probed.lock() = None;
        if self.logged.swap(false, Ordering::Relaxed) {
            tracing::info!("the attacher answers again");
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct Report {
    pub(super) states: Vec<InterfaceState>,
    pub(super) problems: Vec<String>,
    pub(super) unsaved: Option<String>,
}

/// Starts the thread that receives the attacher's messages.
pub(super) fn spawn_reader(
    line: &Channel,
    state: &Arc<AttacherState>,
    store: Option<Arc<dyn LinkStore>>,
) -> io::Result<(JoinHandle<()>, mpsc::Receiver<Message>)> {
    let (sender, answers) = mpsc::channel();
    let (line, state) = (line.try_clone()?, Arc::clone(state));
    let read = move || receive_messages(&line, &state, &sender, store.as_deref());
    let thread = thread::Builder::new().name("couic-attacher".to_owned());
    Ok((thread.spawn(read)?, answers))
}

/// Receives the attacher's messages until it exits.
fn receive_messages(
    line: &Channel,
    state: &AttacherState,
    answers: &mpsc::Sender<Message>,
    store: Option<&dyn LinkStore>,
) {
    let mut report = Report::default();
    while let Ok(Some((message, fd))) = line.receive::<Message>() {
        // Any message is a sign of life.
        state.has_answered();
        match message {
            Message::Alive => {}
            Message::Interface(interface) => report.states.push(interface),
            Message::Problem(problem) => report.problems.push(problem),
            Message::Unsaved(why) => report.unsaved = Some(why),
            Message::Reported => *state.report.lock() = std::mem::take(&mut report),
            Message::Difference { repaired: true } => increment(&state.repaired),
            Message::Difference { repaired: false } => increment(&state.left),
            Message::Note { level, text } => log(level, &text),
            Message::Store { name } => {
                if let (Some(store), Some(link)) = (store, fd) {
                    log_store_error(store.store(&name, link.as_fd()));
                }
            }
            Message::Remove { name } => {
                if let Some(store) = store {
                    log_store_error(store.remove(&name));
                }
            }
            answer @ (Message::Ready
            | Message::Attached
            | Message::Refused(_)
            | Message::Detached) => {
                let _ = answers.send(answer);
            }
        }
    }
    if !state.stopping.load(Ordering::Relaxed) {
        tracing::error!("{}", state.end());
        state.ended.notify_one();
    }
}

fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn log_store_error(done: io::Result<()>) {
    if let Err(error) = done {
        tracing::error!("cannot update the filter's links in systemd's descriptor store: {error}");
    }
}

fn log(level: Level, text: &str) {
    match level {
        Level::Info => tracing::info!("{text}"),
        Level::Warn => tracing::warn!("{text}"),
        Level::Error => tracing::error!("{text}"),
    }
}
