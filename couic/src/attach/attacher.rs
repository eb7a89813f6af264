//! The attacher as the serving process sees it.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use couic_common::{InterfaceHealth, XdpMode};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    attachments::{InterfaceState, gone},
    bpffs,
    lock::{AttacherLock, LockError, WorkLock},
    pins::{Place, pin_dir},
    process::ROLE,
    wire::{Level, Line, Message, Request, Start},
};
use crate::config::Config;
use couic_files::Account;
use couic_firewall::dataplane::{OperationMode, XdpProgram};
use couic_netlink as netlink;

/// How long the process may take to end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is said of an interface that has lost our program while nobody knows why it should not be put back.
pub(crate) const LOST: &str = "it lost our program, which is put back";

/// Between two looks at everything. Interfaces that come and go are noticed at once.
const CHECK_PERIOD: Duration = Duration::from_secs(60);

/// How long the answer to a probe may take. A driver may take seconds to attach.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Who keeps links while no process of ours runs.
pub trait LinkStore: Send + Sync {
    /// Keeps a link under a name.
    ///
    /// # Errors
    /// It is not stored then.
    fn store(&self, name: &str, link: BorrowedFd<'_>) -> io::Result<()>;

    /// Keeps nothing under that name any more.
    ///
    /// # Errors
    /// It may still be stored then.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// What an attacher goes by.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Names of interfaces, and patterns.
    pub ifaces: Vec<String>,
    /// How the program is to be attached.
    pub mode: OperationMode,
    /// Tells one configuration from another.
    pub working_dir: PathBuf,
    /// As whom it works.
    pub owner: Account,
    /// Whether the filter is to stay when the daemon ends.
    pub stay: bool,
}

impl Setup {
    /// As the configuration says.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            ifaces: config.ifaces.clone(),
            mode: config.operation_mode,
            working_dir: config.working_dir.clone(),
            owner: config.owner.clone(),
            stay: config.keep_filter,
        }
    }
}

/// Why nothing is filtered.
#[derive(Debug, thiserror::Error)]
pub enum AttacherError {
    /// Another one works for this working directory.
    #[error(transparent)]
    Claim(#[from] LockError),
    /// Its process cannot be started, or talked to.
    #[error("cannot start the attacher, the process that attaches the filter: {0}")]
    Start(io::Error),
    /// The program cannot be attached.
    #[error("cannot filter: {0}")]
    Refused(String),
    /// Its process is gone.
    #[error(
        "the attacher, the process that attaches the filter, has ended: see what it printed, and the kernel's log"
    )]
    Ended,
}

/// The process, and what it last said.
pub struct Attacher {
    line: Line,
    child: Child,
    /// The kernel's numbers for what it attaches.
    programs: Vec<u32>,
    place: Place,
    shared: Arc<AttacherState>,
    answers: Mutex<mpsc::Receiver<Message>>,
    reader: Option<JoinHandle<()>>,
    unsaved: Option<String>,
}

#[derive(Default)]
struct AttacherState {
    report: Mutex<Report>,
    healed: AtomicU64,
    left: AtomicU64,
    stopping: AtomicBool,
    ended: Notify,
    /// When the probe was sent that is not answered yet.
    probed: Mutex<Option<Instant>>,
    /// Whether the log has it that no answer comes.
    logged: AtomicBool,
}

impl AttacherState {
    /// How long the attacher has owed an answer; None within [`PROBE_TIMEOUT`].
    fn unanswered(&self) -> Option<Duration> {
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
struct Report {
    states: Vec<InterfaceState>,
    problems: Vec<String>,
    unsaved: Option<String>,
}

impl Attacher {
    /// Starts the process, which confines itself before this returns. To be called while this one may still do what the
    /// attacher is to, and whatever it takes to make its directory of pins.
    ///
    /// # Errors
    /// [`AttacherError`].
    pub fn start(
        setup: &Setup,
        lock: &WorkLock,
        store: Option<Arc<dyn LinkStore>>,
        stored: Vec<(String, OwnedFd)>,
    ) -> Result<Self, AttacherError> {
        let attacher_lock = AttacherLock::acquire(&setup.working_dir, &setup.owner, lock)?;
        let (place, unsaved) = choose_place(setup.stay, store.is_some());
        if let Some(text) = &unsaved {
            tracing::warn!("{text}");
        }
        let (line, child) = spawn().map_err(AttacherError::Start)?;
        attacher_lock.record(child.id());
        send_setup(&line, start_request(setup, place), &attacher_lock, stored).map_err(AttacherError::Start)?;
        let shared = Arc::new(AttacherState::default());
        let (reader, answers) = spawn_reader(&line, &shared, store).map_err(AttacherError::Start)?;
        let attacher = Self {
            line,
            child,
            programs: Vec::new(),
            place,
            shared,
            answers: Mutex::new(answers),
            reader: Some(reader),
            unsaved,
        };
        match attacher.answer()? {
            Message::Ready => Ok(attacher),
            Message::Refused(why) => Err(AttacherError::Refused(why)),
            _ => Err(AttacherError::Ended),
        }
    }

    /// Hands it the programs. Nothing is attached until [`Attacher::raise`].
    ///
    /// # Errors
    /// [`AttacherError`].
    pub fn send_programs(&mut self, program: &XdpProgram) -> Result<(), AttacherError> {
        for (role, id, descriptor) in program.descriptors().map_err(AttacherError::Start)? {
            self.programs.push(id);
            let request = Request::Program { role, id };
            let sent = self.line.send(&request, Some(descriptor.as_fd()));
            sent.map_err(|_| AttacherError::Ended)?;
        }
        Ok(())
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Puts the program on all interfaces, in place of the one of a daemon before this one.
    ///
    /// # Errors
    /// [`AttacherError`]; what filtered before does so still.
    pub fn attach_all(&self) -> Result<(), AttacherError> {
        self.request(&Request::Attach)?;
        match self.answer()? {
            Message::Attached => Ok(()),
            Message::Refused(why) => Err(AttacherError::Refused(why)),
            _ => Err(AttacherError::Ended),
        }
    }

    fn request(&self, request: &Request) -> Result<(), AttacherError> {
        self.line
            .send(request, None)
            .map_err(|_| AttacherError::Ended)
    }

    /// However long that takes: a driver may take seconds for each interface.
    fn answer(&self) -> Result<Message, AttacherError> {
        self.answers.lock().recv().map_err(|_| AttacherError::Ended)
    }

    /// Every interface that is to be filtered, as the kernel says at this moment.
    #[must_use]
    pub fn health(&self) -> Vec<InterfaceHealth> {
        let states = self.shared.report.lock().states.clone();
        states
            .into_iter()
            .map(|state| {
                let (mode, problem) = current_mode(&state, &self.programs);
                InterfaceHealth {
                    attached: mode.is_some(),
                    problem,
                    note: state.note.filter(|_| mode == state.mode),
                    name: state.name,
                    mode,
                }
            })
            .collect()
    }

    /// Checks all interfaces now instead of within a minute.
    pub fn check(&self) {
        if self.shared.unanswered().is_none() {
            // The daemon ends if the attacher has ended.
            let _ = self.request(&Request::Check);
        }
    }

    /// Asks the process for a sign of life, which [`Attacher::problems`] misses after [`PROBE_TIMEOUT`]. At most one probe is
    /// under way, so that the socket's buffer never fills.
    pub fn probe(&self) {
        let mut probed = self.shared.probed.lock();
        if probed.is_none() {
            *probed = Some(Instant::now());
            drop(probed);
            let _ = self.request(&Request::Probe);
            return;
        }
        drop(probed);
        if let Some(text) = self.hung()
            && !self.shared.logged.swap(true, Ordering::Relaxed)
        {
            tracing::error!("{text}");
        }
    }

    /// What health says of an attacher that does not answer.
    fn hung(&self) -> Option<String> {
        let waited = self.shared.unanswered()?.as_secs();
        let pid = self.pid();
        Some(format!(
            "the attacher (process {pid}) has not answered for {waited} s: what is attached goes on filtering, but interfaces that appear or lose the program are not attached; run kill -CONT {pid} if it was stopped, else kill -9 {pid}, which ends couic, and start couic again"
        ))
    }

    /// What else somebody should look at.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let Report {
            mut problems,
            unsaved,
            ..
        } = self.shared.report.lock().clone();
        problems.extend(unsaved.or_else(|| self.unsaved.clone()));
        problems.extend(self.hung());
        problems
    }

    /// How often what was attached was not what should be: mended, and not.
    #[must_use]
    pub fn differences(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.shared.healed), read(&self.shared.left))
    }

    /// Waits for the process to end without having been told to.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move { shared.ended.notified().await }
    }

    /// Ends the process. The filter stays where it is stored, and is taken off where it is not. Says which of the two.
    #[must_use]
    pub fn stop(mut self) -> bool {
        let unsaved = self.shared.report.lock().unsaved.is_some();
        let stays = self.place != Place::Nowhere && !unsaved;
        if self.place == Place::Nowhere && self.request(&Request::Detach).is_ok() {
            while !matches!(self.answer(), Ok(Message::Detached) | Err(_)) {}
        }
        self.end();
        stays
    }

    fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.line.hang_up();
        let start = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if start.elapsed() > EXIT_TIMEOUT {
                tracing::warn!("the attacher does not end by itself, and is killed");
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        if let Some(reader) = self.reader.take() {
            // It has nothing to tell but a panic, which the hook has logged.
            let _ = reader.join();
        }
    }
}

impl Drop for Attacher {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where links are to be stored, and why not where that is nowhere although they are to stay. To be asked while the
/// process may still mount what is missing for it.
fn choose_place(stay: bool, store: bool) -> (Place, Option<String>) {
    if !stay {
        return (Place::Nowhere, None);
    }
    if store {
        return (Place::Store, None);
    }
    match bpffs::provide() {
        Ok(()) => (Place::Pins, None),
        Err(why) => {
            let text = format!(
                "the filter ends with the daemon, as neither a descriptor store of systemd nor a bpf filesystem keeps it: {why}; or set keep_filter = \"never\" in [state]"
            );
            (Place::Nowhere, Some(text))
        }
    }
}

fn start_request(setup: &Setup, place: Place) -> Start {
    Start {
        ifaces: setup.ifaces.clone(),
        mode: setup.mode,
        place,
        pins: pin_dir(&setup.working_dir),
        owner: (setup.owner.uid, setup.owner.gid),
        period: u32::try_from(CHECK_PERIOD.as_millis()).unwrap_or(u32::MAX),
    }
}

/// Everything that an attacher has to have but the program.
fn send_setup(
    line: &Line,
    start: Start,
    attacher_lock: &AttacherLock,
    stored: Vec<(String, OwnedFd)>,
) -> io::Result<()> {
    line.send(&Request::Start(start), None)?;
    line.send(&Request::Lock, Some(attacher_lock.as_fd()))?;
    for (name, link) in stored {
        line.send(&Request::StoredLink { name }, Some(link.as_fd()))?;
    }
    Ok(())
}

/// A thread that takes what the attacher says.
fn spawn_reader(
    line: &Line,
    shared: &Arc<AttacherState>,
    store: Option<Arc<dyn LinkStore>>,
) -> io::Result<(JoinHandle<()>, mpsc::Receiver<Message>)> {
    let (sender, answers) = mpsc::channel();
    let (line, shared) = (line.try_clone()?, Arc::clone(shared));
    let read = move || receive_messages(&line, &shared, &sender, store.as_deref());
    let thread = thread::Builder::new().name("couic-attacher".to_owned());
    Ok((thread.spawn(read)?, answers))
}

/// This program again, whatever became of its file since it was started.
fn spawn() -> io::Result<(Line, Child)> {
    let (line, theirs) = Line::pair()?;
    let child = Command::new("/proc/self/exe")
        .arg0("couic")
        .arg(ROLE)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .spawn()?;
    Ok((line, child))
}

/// How an interface is filtered at this moment, and why not. By TCX, only who holds the link may ask: there it is what the
/// attacher last said, which looks each second.
fn current_mode(state: &InterfaceState, programs: &[u32]) -> (Option<XdpMode>, Option<String>) {
    if state.index == 0 {
        return (None, state.problem.clone());
    }
    let lost = || Some(state.problem.clone().unwrap_or_else(|| LOST.to_owned()));
    match netlink::interface(state.index) {
        Ok(Some(interface)) => match interface.xdp {
            _ if state.mode == Some(XdpMode::Tcx) => (state.mode, None),
            Some(on) if programs.contains(&on.id) => (Some(on.mode), None),
            Some(on) => {
                let text = format!(
                    "another XDP program took our place (id {}): see `bpftool net`",
                    on.id
                );
                (None, Some(state.problem.clone().unwrap_or(text)))
            }
            None => (None, lost()),
        },
        Ok(None) => (None, Some(gone(&state.name))),
        Err(error) => (None, Some(format!("the kernel does not answer: {error}"))),
    }
}

/// Takes what the attacher says, until it ends.
fn receive_messages(line: &Line, shared: &AttacherState, answers: &mpsc::Sender<Message>, store: Option<&dyn LinkStore>) {
    let mut report = Report::default();
    while let Ok(Some((message, fd))) = line.receive::<Message>() {
        // Any message is a sign of life.
        shared.has_answered();
        match message {
            Message::Alive => {}
            Message::Interface(state) => report.states.push(state),
            Message::Problem(problem) => report.problems.push(problem),
            Message::Unsaved(why) => report.unsaved = Some(why),
            Message::Reported => *shared.report.lock() = std::mem::take(&mut report),
            Message::Difference { healed: true } => increment(&shared.healed),
            Message::Difference { healed: false } => increment(&shared.left),
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
    if !shared.stopping.load(Ordering::Relaxed) {
        tracing::error!("the attacher, the process that attaches the filter, has ended");
        shared.ended.notify_one();
    }
}

fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn log_store_error(done: io::Result<()>) {
    if let Err(error) = done {
        tracing::error!("systemd does not take the filter's links: {error}");
    }
}

fn log(level: Level, text: &str) {
    match level {
        Level::Info => tracing::info!("{text}"),
        Level::Warn => tracing::warn!("{text}"),
        Level::Error => tracing::error!("{text}"),
    }
}
