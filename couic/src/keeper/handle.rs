//! The keeper as the serving process sees it.

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
    bpffs,
    child::KEEPER,
    keep::{Place, pin_dir},
    wall::{State, gone},
    wire::{Event, Level, Line, Order, Start},
};
use crate::{
    config::{Config, Owner},
    privileges::{KeeperClaim, LockError, WorkLock},
};
use couic_firewall::dataplane::{OperationMode, XdpProgram};
use couic_netlink as netlink;

/// How long the process may take to end.
const GOODBYE: Duration = Duration::from_secs(5);

/// What is said of an interface that has lost our program while nobody knows why it should not be put back.
pub(crate) const LOST: &str = "it lost our program, which is put back";

/// Between two looks at everything. Interfaces that come and go are noticed at once.
const PERIOD: Duration = Duration::from_secs(60);

/// Who keeps links while no process of ours runs.
pub trait Store: Send + Sync {
    /// Keeps a link under a name.
    ///
    /// # Errors
    /// It is not kept then.
    fn keep(&self, name: &str, link: BorrowedFd<'_>) -> io::Result<()>;

    /// Keeps nothing under that name any more.
    ///
    /// # Errors
    /// It may still be kept then.
    fn forget(&self, name: &str) -> io::Result<()>;
}

/// What a keeper goes by.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Names of interfaces, and patterns.
    pub ifaces: Vec<String>,
    /// How the program is to be attached.
    pub mode: OperationMode,
    /// Tells one configuration from another.
    pub working_dir: PathBuf,
    /// As whom it works.
    pub owner: Owner,
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
pub enum KeeperError {
    /// Another one works for this working directory.
    #[error(transparent)]
    Claim(#[from] LockError),
    /// Its process cannot be started, or talked to.
    #[error("cannot start the keeper, the process that attaches the filter: {0}")]
    Start(io::Error),
    /// The program cannot be attached.
    #[error("cannot filter: {0}")]
    Refused(String),
    /// Its process is gone.
    #[error(
        "the keeper, the process that attaches the filter, has ended: see what it printed, and the kernel's log"
    )]
    Ended,
}

/// The process, and what it last said.
pub struct Keeper {
    line: Line,
    child: Child,
    /// The kernel's numbers for what it attaches.
    programs: Vec<u32>,
    place: Place,
    shared: Arc<Shared>,
    answers: Mutex<mpsc::Receiver<Event>>,
    reader: Option<JoinHandle<()>>,
    unkept: Option<String>,
}

#[derive(Default)]
struct Shared {
    report: Mutex<Report>,
    healed: AtomicU64,
    left: AtomicU64,
    leaving: AtomicBool,
    ended: Notify,
}

#[derive(Clone, Default)]
struct Report {
    states: Vec<State>,
    problems: Vec<String>,
    unkept: Option<String>,
}

impl Keeper {
    /// Starts the process, which confines itself before this returns. To be called while this one may still do what the
    /// keeper is to, and whatever it takes to make its directory of pins.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn start(
        setup: &Setup,
        lock: &WorkLock,
        store: Option<Arc<dyn Store>>,
        kept: Vec<(String, OwnedFd)>,
    ) -> Result<Self, KeeperError> {
        let claim = KeeperClaim::take(&setup.working_dir, &setup.owner, lock)?;
        let (place, unkept) = place(setup.stay, store.is_some());
        if let Some(text) = &unkept {
            tracing::warn!("{text}");
        }
        let (line, child) = spawn().map_err(KeeperError::Start)?;
        claim.is_of(child.id());
        hand_over(&line, start_of(setup, place), &claim, kept).map_err(KeeperError::Start)?;
        let shared = Arc::new(Shared::default());
        let (reader, answers) = listen(&line, &shared, store).map_err(KeeperError::Start)?;
        let keeper = Self {
            line,
            child,
            programs: Vec::new(),
            place,
            shared,
            answers: Mutex::new(answers),
            reader: Some(reader),
            unkept,
        };
        match keeper.answer()? {
            Event::Ready => Ok(keeper),
            Event::Refused(why) => Err(KeeperError::Refused(why)),
            _ => Err(KeeperError::Ended),
        }
    }

    /// Hands it the programs. Nothing is attached until [`Keeper::raise`].
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn take(&mut self, program: &XdpProgram) -> Result<(), KeeperError> {
        for (role, id, descriptor) in program.descriptors().map_err(KeeperError::Start)? {
            self.programs.push(id);
            let order = Order::Program { role, id };
            let sent = self.line.send(&order, Some(descriptor.as_fd()));
            sent.map_err(|_| KeeperError::Ended)?;
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
    /// [`KeeperError`]; what filtered before does so still.
    pub fn raise(&self) -> Result<(), KeeperError> {
        self.order(&Order::Raise)?;
        match self.answer()? {
            Event::Raised => Ok(()),
            Event::Refused(why) => Err(KeeperError::Refused(why)),
            _ => Err(KeeperError::Ended),
        }
    }

    fn order(&self, order: &Order) -> Result<(), KeeperError> {
        self.line.send(order, None).map_err(|_| KeeperError::Ended)
    }

    /// However long that takes: a driver may take seconds for each interface.
    fn answer(&self) -> Result<Event, KeeperError> {
        self.answers.lock().recv().map_err(|_| KeeperError::Ended)
    }

    /// Every interface that is to be filtered, as the kernel says at this moment.
    #[must_use]
    pub fn health(&self) -> Vec<InterfaceHealth> {
        let states = self.shared.report.lock().states.clone();
        states
            .into_iter()
            .map(|state| {
                let (mode, problem) = now(&state, &self.programs);
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

    /// Has it look at everything now instead of within a minute.
    pub fn look(&self) {
        // Where it has ended, the daemon ends, too.
        let _ = self.order(&Order::Check);
    }

    /// What else somebody should look at.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let Report {
            mut problems,
            unkept,
            ..
        } = self.shared.report.lock().clone();
        problems.extend(unkept.or_else(|| self.unkept.clone()));
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

    /// Ends the process. The filter stays where it is kept, and is taken off where it is not. Says which of the two.
    #[must_use]
    pub fn leave(mut self) -> bool {
        let unkept = self.shared.report.lock().unkept.is_some();
        let stays = self.place != Place::Nowhere && !unkept;
        if self.place == Place::Nowhere && self.order(&Order::Lower).is_ok() {
            while !matches!(self.answer(), Ok(Event::Lowered) | Err(_)) {}
        }
        self.end();
        stays
    }

    fn end(&mut self) {
        self.shared.leaving.store(true, Ordering::Relaxed);
        self.line.hang_up();
        let start = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if start.elapsed() > GOODBYE {
                tracing::warn!("the keeper does not end by itself, and is killed");
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

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where links are to be kept, and why not where that is nowhere although they are to stay. To be asked while the
/// process may still mount what is missing for it.
fn place(stay: bool, store: bool) -> (Place, Option<String>) {
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

fn start_of(setup: &Setup, place: Place) -> Start {
    Start {
        ifaces: setup.ifaces.clone(),
        mode: setup.mode,
        place,
        pins: pin_dir(&setup.working_dir),
        owner: (setup.owner.uid, setup.owner.gid),
        period: u32::try_from(PERIOD.as_millis()).unwrap_or(u32::MAX),
    }
}

/// Everything that a keeper has to have but the program.
fn hand_over(
    line: &Line,
    start: Start,
    claim: &KeeperClaim,
    kept: Vec<(String, OwnedFd)>,
) -> io::Result<()> {
    line.send(&Order::Start(start), None)?;
    line.send(&Order::Claim, Some(claim.as_fd()))?;
    for (name, link) in kept {
        line.send(&Order::Kept { name }, Some(link.as_fd()))?;
    }
    Ok(())
}

/// A thread that takes what the keeper says.
fn listen(
    line: &Line,
    shared: &Arc<Shared>,
    store: Option<Arc<dyn Store>>,
) -> io::Result<(JoinHandle<()>, mpsc::Receiver<Event>)> {
    let (sender, answers) = mpsc::channel();
    let (line, shared) = (line.try_clone()?, Arc::clone(shared));
    let read = move || read(&line, &shared, &sender, store.as_deref());
    let thread = thread::Builder::new().name("couic-keeper".to_owned());
    Ok((thread.spawn(read)?, answers))
}

/// This program again, whatever became of its file since it was started.
fn spawn() -> io::Result<(Line, Child)> {
    let (line, theirs) = Line::pair()?;
    let child = Command::new("/proc/self/exe")
        .arg0("couic")
        .arg(KEEPER)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .spawn()?;
    Ok((line, child))
}

/// How an interface is filtered at this moment, and why not. By TCX, only who holds the link may ask: there it is what the
/// keeper last said, which looks each second.
fn now(state: &State, programs: &[u32]) -> (Option<XdpMode>, Option<String>) {
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

/// Takes what the keeper says, until it ends.
fn read(line: &Line, shared: &Shared, answers: &mpsc::Sender<Event>, store: Option<&dyn Store>) {
    let mut report = Report::default();
    while let Ok(Some((event, fd))) = line.receive::<Event>() {
        match event {
            Event::Interface(state) => report.states.push(state),
            Event::Problem(problem) => report.problems.push(problem),
            Event::Unkept(why) => report.unkept = Some(why),
            Event::Reported => *shared.report.lock() = std::mem::take(&mut report),
            Event::Difference { healed: true } => add(&shared.healed),
            Event::Difference { healed: false } => add(&shared.left),
            Event::Note { level, text } => log(level, &text),
            Event::Keep { name } => {
                if let (Some(store), Some(link)) = (store, fd) {
                    told(store.keep(&name, link.as_fd()));
                }
            }
            Event::Forget { name } => {
                if let Some(store) = store {
                    told(store.forget(&name));
                }
            }
            answer @ (Event::Ready | Event::Raised | Event::Refused(_) | Event::Lowered) => {
                let _ = answers.send(answer);
            }
        }
    }
    if !shared.leaving.load(Ordering::Relaxed) {
        tracing::error!("the keeper, the process that attaches the filter, has ended");
        shared.ended.notify_one();
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn told(done: io::Result<()>) {
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
