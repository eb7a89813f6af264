//! The daemon: its parts, put together in an order that matters.
//!
//! What holds:
//! - The rules of all set files, and those of an earlier daemon, are in the tables before the first packet is judged by
//!   them.
//! - It is the configured user before it reads what others wrote, and has no privilege on any thread before it reports
//!   or answers anything. The keeper, which attaches, can do nothing else.
//! - Putting the program on the interfaces is the last step of the start that can fail: where any does, the filter of a
//!   daemon before this one stands as it stood, and no socket stays behind.
//! - On SIGTERM and SIGINT the requests in progress are answered (for [`DRAIN`] at most), then the socket is removed and
//!   the log written out. Exit code 0. The filter stays where the keeper could keep it, else it is detached.
//! - Without its keeper the daemon ends, with exit code 1, so that whoever supervises it starts both anew.

mod error;
mod every;
mod filter;
mod follow;
mod limits;
mod memory;
mod privilege;
mod rules;
mod selfcheck;
mod signals;
mod state;
mod supervisor;
mod switches;
mod watchdog;

use std::{
    mem,
    os::{fd::OwnedFd, unix::net::UnixListener},
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nix::sys::stat::{Mode, umask};
use tokio::runtime::{Builder, Runtime};

use crate::{
    api::{self, Api},
    config::Config,
    host::Host,
    keeper::{Keeper, KeeperError, LOST, Setup, Store},
    logging::{ChangeLog, Log},
    metrics::MetricsRegistry,
    peering::{Engine, Peering},
    privileges::{
        Hardening, ListeningSocket, SocketPlace, WorkLock, check_capabilities, check_process_user,
        check_working_dir, files_of, give_up,
    },
    rbac::ClientStore,
    reporting::{Notifiers, Reporting},
};
use couic_common::Health;
use couic_firewall::{dataplane::too_old, guard::Guard};
use couic_plugin_host::Spawner;
pub use error::StartError;
use every::Repeaters;
use filter::{Filter, Turn, Watch};
use follow::{start_peering, start_reporting, stop_reporting};
use rules::Rules;
use selfcheck::{Checker, Found};
use signals::Signals;
use state::Unwritten;
use supervisor::Supervisor;
use switches::Switches;
use watchdog::Watchdog;

/// How long requests in progress may take to be answered at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// How long the log may take to be written out at the end.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How late an expiry may be.
const EXPIRY: Duration = Duration::from_millis(200);

/// Between two looks at the interfaces, and two heartbeats.
const SECOND: Duration = Duration::from_secs(1);

/// Between two rounds of the self-check.
const MINUTE: Duration = Duration::from_secs(60);

/// Rounds of a second after which the log says again that nobody can reach the API.
const SAID: u32 = 60;

/// Changes that the log may lag behind: 100 ms at half a million a second, some 15 MB at most.
const LOG_QUEUE: usize = 1 << 16;

/// Runs until a signal ends it. `warnings` about the configuration file go to the log.
///
/// # Errors
/// [`StartError`], after which nothing is left behind.
pub fn run(config: &Config, warnings: &[String]) -> Result<(), StartError> {
    // Before anything else is opened: what systemd passes on has fixed numbers.
    let kept = supervisor::inherited();
    couic_privsep::ignore_stray_signals();
    if let Some(why) = too_old() {
        return Err(StartError::Kernel(why));
    }
    check_process_user(&config.owner)?;
    // Whatever asks for more is meant: the socket, log files.
    umask(Mode::from_bits_truncate(0o027));
    let log = Log::open(&config.logging, &config.owner)?;
    panic::set_hook(Box::new(|info| {
        tracing::error!("a bug in couic, please report it: {info}");
    }));
    tracing::info!("couic {} starts", env!("CARGO_PKG_VERSION"));
    warnings.iter().for_each(|text| tracing::warn!("{text}"));
    limits::raise_descriptors();
    limits::raise_locked_memory();
    memory::give_back_large_buffers();
    let outcome = run_logged(config, &log, kept);
    match &outcome {
        Ok(()) => tracing::info!("couic has stopped"),
        Err(StartError::Filter(error @ KeeperError::Ended)) => {
            tracing::error!("couic ends: {error}");
        }
        Err(error) => tracing::error!("couic does not start: {error}"),
    }
    log.close(LAST_LINES);
    outcome
}

fn run_logged(config: &Config, log: &Log, kept: KeptLinks) -> Result<(), StartError> {
    let runtime = runtime().map_err(StartError::system("start threads"))?;
    let signals = {
        let _inside = runtime.enter();
        Signals::catch().map_err(StartError::system("catch signals"))?
    };
    let supervisor = Supervisor::find().map(Arc::new);
    let privileged = Privileged::start(config, log, supervisor.as_ref(), kept)?;
    let keeper_ended = privileged.keeper.ended();
    let watchdog = Watchdog::new(supervisor.as_ref(), runtime.handle());
    let (running, listener, api) = Running::start(config, log, &runtime, privileged, watchdog)?;
    announce(config, supervisor.as_deref());
    let alone = serve(&runtime, listener, api, signals, keeper_ended)?;
    if let Some(supervisor) = &supervisor {
        supervisor.stopping();
    }
    running.stop(&runtime);
    if alone {
        return Err(KeeperError::Ended.into());
    }
    Ok(())
}

/// What it takes privileges to make. They are gone when it is there.
struct Privileged {
    clients: ClientStore,
    lock: WorkLock,
    listener: UnixListener,
    socket: ListeningSocket,
    keeper: Keeper,
    spawner: Option<Spawner>,
    rules: Rules,
    unwritten: Unwritten,
    hardening: Hardening,
    missing_features: Vec<String>,
}

impl Privileged {
    fn start(
        config: &Config,
        log: &Log,
        supervisor: Option<&Arc<Supervisor>>,
        kept: KeptLinks,
    ) -> Result<Self, StartError> {
        let (clients, lock) = claim(config)?;
        check_capabilities(&config.owner)?;
        let missing = [log.trouble(), clients.unmade()].into_iter().flatten();
        let missing = missing.map(str::to_owned).collect();
        let unwritten = Unwritten::found(&config.working_dir, missing);
        // Before root is given up, which may have to make its directory. Who connects now is answered in a moment.
        let (listener, socket) = ListeningSocket::bind(&config.socket, &config.owner)?;
        privilege::hand_on(config)?;
        let mut keeper = start_keeper(config, &lock, supervisor, kept)?;
        let spawner = privilege::become_user(config)?;
        let (rules, program) = Rules::load(config)?;
        let missing_features = program.missing();
        if !missing_features.is_empty() {
            tracing::info!("{}", missing_features.join("; "));
        }
        keeper.take(&program)?;
        let hardening = give_up(&files_of(config), &[keeper.pid()])?;
        Ok(Self {
            clients,
            lock,
            listener,
            socket,
            keeper,
            spawner,
            rules,
            unwritten,
            hardening,
            missing_features,
        })
    }
}

/// What runs until the end.
struct Running {
    // In the order in which it ends, also where a start ends early.
    peering: Option<Peering>,
    repeaters: Repeaters,
    rules: Rules,
    filter: Arc<Filter>,
    reporting: Option<Reporting>,
    changes: Option<ChangeLog>,
    socket: ListeningSocket,
    _lock: WorkLock,
}

impl Running {
    fn start(
        config: &Config,
        log: &Log,
        runtime: &Runtime,
        privileged: Privileged,
        watchdog: Option<Watchdog>,
    ) -> Result<(Self, UnixListener, Api), StartError> {
        let mut rules = privileged.rules;
        let changes = log.follow(rules.firewall.subscribe(LOG_QUEUE))?;
        let reporting = start_reporting(config, runtime, &rules.firewall, privileged.spawner)?;
        let registers = mem::take(&mut rules.registers);
        let peering = start_peering(config, runtime, &rules.firewall, registers)?;
        // What is undone now is reported.
        let switches = Switches::open(config, &rules)?;
        let filter = filter_packets(privileged.keeper, &rules)?;
        let metrics = Arc::new(MetricsRegistry::new());
        let Hardening { landlock, seccomp } = privileged.hardening;
        metrics.show_hardening(landlock.unwrap_or(0), seccomp);
        let engine = peering.as_ref().map(Peering::engine);
        let mut repeaters = repeaters(
            &rules,
            &filter,
            &metrics,
            watchdog,
            privileged.socket.place(),
        )
        .and_then(|mut all| {
            state::keep_writing(&mut all, &rules.firewall, engine.clone()).map(|()| all)
        })
        .map_err(StartError::system("start threads"))?;
        switches.watch(&mut repeaters)?;
        let notifiers = reporting.as_ref().map(Reporting::notifiers);
        let api = Api {
            firewall: Arc::clone(&rules.firewall),
            sets: Arc::clone(&rules.sets),
            clients: Arc::new(privileged.clients),
            guard: Guard::new(config.enforce_guard),
            metrics,
            health: health(
                &filter,
                (&rules, &switches),
                Known {
                    unwritten: privileged.unwritten,
                    notes: privileged.hardening.notes(),
                    missing_features: privileged.missing_features,
                },
                notifiers.clone(),
                engine.clone(),
            ),
            notifiers,
            peering: engine,
            panic: switches.panic,
            confirmations: switches.confirmations,
            host: Host::new(&config.working_dir, Some(&config.logging.dir)),
        };
        let running = Self {
            peering,
            repeaters,
            rules,
            filter,
            reporting,
            changes,
            socket: privileged.socket,
            _lock: privileged.lock,
        };
        Ok((running, privileged.listener, api))
    }

    fn stop(self, runtime: &Runtime) {
        let Self {
            peering,
            mut repeaters,
            rules,
            filter,
            reporting,
            changes,
            socket,
            _lock,
        } = self;
        if let Some(peering) = peering {
            runtime.block_on(peering.stop());
        }
        repeaters.stop();
        state::close(&rules.firewall);
        if filter.leave() {
            tracing::info!("the filter stays on; it can be taken off by couic detach");
        }
        if let Some(reporting) = reporting {
            stop_reporting(runtime, reporting);
        }
        if let Some(changes) = changes {
            changes.close();
        }
        drop(socket);
    }
}

/// The filter stands, and whoever has connected is answered from now on.
fn announce(config: &Config, supervisor: Option<&Supervisor>) {
    tracing::info!("listening on {}", config.socket.display());
    if let Some(supervisor) = supervisor {
        supervisor.ready();
    }
}

/// What health tells that is known since the start.
struct Known {
    unwritten: Unwritten,
    notes: Vec<String>,
    missing_features: Vec<String>,
}

/// What `GET /v1/health` answers, asked anew each time.
fn health(
    filter: &Arc<Filter>,
    (rules, switches): (&Rules, &Switches),
    known: Known,
    notifiers: Option<Notifiers>,
    peers: Option<Arc<Engine>>,
) -> Arc<dyn Fn() -> Health + Send + Sync> {
    let (filter, firewall) = (Arc::clone(filter), Arc::clone(&rules.firewall));
    let switches = switches.clone();
    Arc::new(move || {
        let problems = notifiers.as_ref().map(Notifiers::problems);
        let late = peers.as_ref().map(|engine| engine.problems());
        let mut health = filter.health(problems.unwrap_or_default(), late.unwrap_or_default());
        health.notes.clone_from(&known.notes);
        health.missing_features.clone_from(&known.missing_features);
        let health = known
            .unwritten
            .add_to_health(state::add_to_health(health, &firewall));
        switches.marked(health)
    })
}

/// What systemd kept for us.
type KeptLinks = Vec<(String, OwnedFd)>;

/// The process that may attach, while it can still be given what it needs. Nothing is attached yet, and nothing that was
/// before is touched.
fn start_keeper(
    config: &Config,
    lock: &WorkLock,
    supervisor: Option<&Arc<Supervisor>>,
    kept: KeptLinks,
) -> Result<Keeper, KeeperError> {
    let store = supervisor.filter(|s| s.has_store());
    let store = store.map(|s| Arc::clone(s) as Arc<dyn Store>);
    Keeper::start(&Setup::of(config), lock, store, kept)
}

/// Everything that can be refused before the kernel is asked for anything.
fn claim(config: &Config) -> Result<(ClientStore, WorkLock), StartError> {
    check_working_dir(&config.working_dir, &config.owner)?;
    let lock = WorkLock::take(&config.working_dir, &config.owner)?;
    ListeningSocket::check(&config.socket)?;
    let clients = ClientStore::open(&config.working_dir)?;
    Ok((clients, lock))
}

/// The last step that can fail, so that a start that is refused leaves the filter of the one before as it was.
fn filter_packets(keeper: Keeper, rules: &Rules) -> Result<Arc<Filter>, StartError> {
    // The first packet must not find deadlines that are nobody's business.
    rules.firewall.heartbeat();
    keeper.raise()?;
    let problems = rules.problems.clone();
    Ok(Arc::new(Filter::new(Box::new(keeper), problems)))
}

/// Two threads at least: one that is busy with a long list must not keep the others' requests waiting. More than eight
/// would wait for the one lock of the rules.
fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, 8))
        .max_blocking_threads(16)
        .thread_name("couic-api")
        .enable_all()
        .build()
}

fn repeaters(
    rules: &Rules,
    filter: &Arc<Filter>,
    metrics: &Arc<MetricsRegistry>,
    mut watchdog: Option<Watchdog>,
    socket: SocketPlace,
) -> std::io::Result<Repeaters> {
    let mut repeaters = Repeaters::default();
    let firewall = Arc::clone(&rules.firewall);
    repeaters.every(EXPIRY, "couic-expiry", move || {
        firewall.expire_due();
    })?;
    let firewall = Arc::clone(&rules.firewall);
    let often = watchdog.as_ref().map_or(SECOND, Watchdog::period);
    repeaters.every(SECOND.min(often), "couic-heart", move || {
        firewall.heartbeat();
        if let Some(watchdog) = &mut watchdog {
            watchdog.beat();
        }
    })?;
    let firewall = Arc::clone(&rules.firewall);
    let mut checker = Checker::new(firewall, Arc::clone(filter), Arc::clone(metrics));
    repeaters.every(MINUTE, "couic-check", move || checker.round())?;
    // On a thread of its own: the kernel may take its time to answer.
    let (firewall, sets) = (Arc::clone(&rules.firewall), Arc::clone(&rules.sets));
    let filter = Arc::clone(filter);
    let (mut watch, mut found) = (Watch::default(), Found::default());
    let metrics = Arc::clone(metrics);
    let mut round = 0_u32;
    repeaters.every(SECOND, "couic-watch", move || {
        let interfaces = filter.interfaces();
        let turns = watch.turns(&interfaces);
        turns.iter().for_each(Turn::log);
        // Somebody may detach the program again before anybody has seen it back.
        let has_lost = interfaces
            .iter()
            .any(|i| i.problem.as_deref() == Some(LOST));
        if has_lost || turns.iter().any(|turn| matches!(turn, Turn::Lost(..))) {
            filter.look();
        }
        found.count(filter.differences(), &metrics);
        round = round.wrapping_add(1);
        if round.is_multiple_of(5) {
            filter.forget_mended(&sets, &firewall);
        }
        if round.is_multiple_of(SAID)
            && let Some(problem) = socket.problem()
        {
            tracing::error!("{problem}");
        }
    })?;
    Ok(repeaters)
}

/// Serves until a signal comes. True where what came is the end of the keeper.
fn serve(
    runtime: &Runtime,
    listener: UnixListener,
    api: Api,
    signals: Signals,
    keeper_ended: impl Future<Output = ()>,
) -> Result<bool, StartError> {
    listener
        .set_nonblocking(true)
        .map_err(StartError::system("use the socket"))?;
    runtime.block_on(async {
        let listener = tokio::net::UnixListener::from_std(listener)
            .map_err(StartError::system("use the socket"))?;
        let alone = AtomicBool::new(false);
        let stop = async {
            tokio::select! {
                () = signals.first() => {}
                () = keeper_ended => alone.store(true, Ordering::Relaxed),
            }
        };
        let summary = api::serve(listener, Arc::new(api), stop, DRAIN).await;
        tracing::info!(
            "{} connections served, {} refused, {} cut off at the end",
            summary.served,
            summary.refused,
            summary.aborted
        );
        Ok(alone.load(Ordering::Relaxed))
    })
}
