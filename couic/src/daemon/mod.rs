//! The daemon: its parts, put together in an order that matters.
//!
//! What holds:
//! - The rules of all set files, and those of an earlier daemon, are in the tables before the first packet is judged.
//! - What fails during the start undoes what was done before it: nothing stays attached, no socket stays behind.
//! - On SIGTERM and SIGINT the requests in progress are answered (for [`DRAIN`] at most), then the filter is detached,
//!   the socket removed and the log written out. Exit code 0.

mod error;
mod every;
mod filter;
mod memory;
mod signals;
mod state;
mod switches;

use std::{fs, mem, os::unix::net::UnixListener, panic, sync::Arc, time::Duration};

use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    stat::{Mode, umask},
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    api::{self, Api},
    config::Config,
    dataplane::{self, Attachments, Loaded, XdpProgram},
    firewall::{Firewall, FirewallError, SetStore, SystemClock},
    guard::Guard,
    host::Host,
    journal::Registers,
    logging::Log,
    metrics::MetricsRegistry,
    peering::Peering,
    privileges::{ListeningSocket, WorkLock, check_process_user, check_working_dir},
    rbac::ClientStore,
    reporting::{Notifiers, Reporting},
};
use couic_common::{InterfaceHealth, Policy, SetProblem};
pub use error::StartError;
use every::Repeaters;
use filter::{Attached, Filter, Watch, sets_problem};
use signals::Signals;
use switches::Switches;

/// How long requests in progress may take to be answered at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// How long the log may take to be written out at the end.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How late an expiry may be.
const EXPIRY: Duration = Duration::from_millis(200);

/// Between two looks at the interfaces, and two heartbeats.
const SECOND: Duration = Duration::from_secs(1);

/// Changes that the log may lag behind: 100 ms at half a million a second, some 15 MB at most.
const LOG_QUEUE: usize = 1 << 16;

impl Attached for Attachments {
    fn health(&self) -> Vec<InterfaceHealth> {
        Self::health(self)
    }

    fn detach(self: Box<Self>) {
        Self::detach(*self);
    }
}

/// Runs until a signal ends it.
///
/// # Errors
/// [`StartError`], after which nothing is left behind.
pub fn run(config: &Config) -> Result<(), StartError> {
    check_process_user(&config.owner)?;
    // Whatever asks for more is meant: the socket, log files.
    umask(Mode::from_bits_truncate(0o027));
    let log = Log::open(&config.logging, &config.owner)?;
    panic::set_hook(Box::new(|info| {
        tracing::error!("a bug in couic, please report it: {info}");
    }));
    tracing::info!("couic {} starts", env!("CARGO_PKG_VERSION"));
    raise_descriptor_limit();
    memory::give_back_large_buffers();
    let outcome = run_logged(config, &log);
    match &outcome {
        Ok(()) => tracing::info!("couic has stopped"),
        Err(error) => tracing::error!("couic does not start: {error}"),
    }
    log.close(LAST_LINES);
    outcome
}

/// A connection is a file descriptor, and the customary soft limit of 1024 is a quarter of the connections that the
/// API allows.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard));
    if let Err(error) = raised {
        tracing::warn!(
            "cannot raise the limit of open files: {error}; the API takes fewer connections"
        );
    }
}

fn run_logged(config: &Config, log: &Log) -> Result<(), StartError> {
    let runtime = runtime().map_err(StartError::system("start threads"))?;
    let signals = {
        let _inside = runtime.enter();
        Signals::catch().map_err(StartError::system("catch signals"))?
    };
    let (clients, _lock) = claim(config)?;
    let (mut rules, program) = load_rules(config)?;
    let changes = log.follow(rules.firewall.subscribe(LOG_QUEUE))?;
    let reporting = start_reporting(config, &runtime, &rules.firewall)?;
    let switches = Switches::open(config, &rules)?;
    let filter = filter_packets(config, &rules, program)?;
    let mut repeaters = repeaters(&rules, &filter).map_err(StartError::system("start threads"))?;
    switches.watch(&mut repeaters)?;
    let (listener, socket) = ListeningSocket::bind(&config.socket, &config.owner)?;
    tracing::info!("listening on {}", config.socket.display());

    let health = Arc::clone(&filter);
    let notifiers = reporting.as_ref().map(Reporting::notifiers);
    let delivery = notifiers.clone();
    let registers = mem::take(&mut rules.registers);
    let peering = start_peering(config, &runtime, &rules.firewall, registers)?;
    let engine = peering.as_ref().map(Peering::engine);
    state::keep_writing(&mut repeaters, &rules.firewall, engine.clone())
        .map_err(StartError::system("start threads"))?;
    let peers = engine.clone();
    let switch = Arc::clone(&switches.panic);
    let firewall = Arc::clone(&rules.firewall);
    let api = Api {
        firewall: Arc::clone(&rules.firewall),
        sets: rules.sets,
        clients: Arc::new(clients),
        guard: Guard::new(config.enforce_guard),
        metrics: Arc::new(MetricsRegistry::new()),
        notifiers,
        peering: engine,
        panic: switches.panic,
        confirmations: switches.confirmations,
        host: Host::new(&config.working_dir, Some(&config.logging.dir)),
        health: Arc::new(move || {
            let problems = delivery.as_ref().map(Notifiers::problems);
            let late = peers.as_ref().map(|engine| engine.problems());
            let health = health.health(problems.unwrap_or_default(), late.unwrap_or_default());
            switch.marked(state::add_to_health(health, &firewall))
        }),
    };
    serve(&runtime, listener, api, signals)?;

    if let Some(peering) = peering {
        runtime.block_on(peering.stop());
    }
    repeaters.stop();
    state::close(&rules.firewall);
    filter.detach();
    if let Some(reporting) = reporting {
        stop_reporting(&runtime, reporting);
    }
    if let Some(changes) = changes {
        changes.close();
    }
    socket.remove()?;
    Ok(())
}

/// Everything that can be refused before the kernel is asked for anything.
fn claim(config: &Config) -> Result<(ClientStore, WorkLock), StartError> {
    check_working_dir(&config.working_dir, &config.owner)?;
    let lock = WorkLock::take(&config.working_dir, &config.owner)?;
    ListeningSocket::check(&config.socket)?;
    let clients = ClientStore::open(&config.working_dir)?;
    Ok((clients, lock))
}

/// The rules of the set files, in the tables of a program that sees no packet yet.
struct Rules {
    firewall: Arc<Firewall>,
    sets: Arc<SetStore>,
    problems: Vec<SetProblem>,
    /// What peering knew of rules in an earlier life.
    registers: Registers,
}

fn load_rules(config: &Config) -> Result<(Rules, XdpProgram), StartError> {
    let Loaded {
        plane,
        counters,
        program,
    } = dataplane::load(config.limits.with_reload_headroom(), config.rule_counters)
        .map_err(StartError::Load)?;
    let clock = Arc::new(SystemClock);
    let firewall = Firewall::new(plane, counters, config.limits, clock);
    let (sets, problems) = load_sets(config, &firewall)?;
    let registers = if config.persist {
        state::restore(&config.working_dir, &firewall)?
    } else {
        state::warn_of_unused(&config.working_dir);
        Registers::new()
    };
    let rules = Rules {
        firewall: Arc::new(firewall),
        sets: Arc::new(sets),
        problems,
        registers,
    };
    Ok((rules, program))
}

/// The rules of set files and of an earlier daemon are in force already: a restart is not a change that anybody wants
/// to hear of.
fn start_reporting(
    config: &Config,
    runtime: &Runtime,
    firewall: &Firewall,
) -> Result<Option<Reporting>, StartError> {
    if !config.reporting.enabled {
        return Ok(None);
    }
    let source = config.reporting.name.clone().unwrap_or_else(host_name);
    let (reporting, failed) = runtime.block_on(Reporting::start(
        &config.reporting,
        &config.plugins_dir,
        &config.working_dir,
        &source,
        firewall,
    ))?;
    for notifier in failed {
        tracing::error!(
            "the notifier {} does not start, what is meant for it is kept: {}",
            notifier.name,
            notifier.reason
        );
    }
    tracing::info!("reporting rule changes");
    Ok(Some(reporting))
}

/// Before the first request is answered, so that no change is made that peers do not hear of.
fn start_peering(
    config: &Config,
    runtime: &Runtime,
    firewall: &Arc<Firewall>,
    registers: Registers,
) -> Result<Option<Peering>, StartError> {
    if !config.peering.enabled {
        return Ok(None);
    }
    let firewall = Arc::clone(firewall);
    let peering = Peering::start(
        &config.peering,
        &config.working_dir,
        (firewall, registers),
        runtime.handle(),
    )?;
    let peers = config.peering.peers.len();
    tracing::info!("sharing rules with {peers} configured peers");
    Ok(Some(peering))
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "couic".to_owned(),
        name => name.to_owned(),
    }
}

fn stop_reporting(runtime: &Runtime, reporting: Reporting) {
    for left in runtime.block_on(reporting.stop(LAST_LINES)) {
        tracing::warn!(
            "{} notifications for {} are kept for the next start",
            left.events,
            left.name
        );
    }
}

fn filter_packets(
    config: &Config,
    rules: &Rules,
    program: XdpProgram,
) -> Result<Arc<Filter>, StartError> {
    // The first packet must not find deadlines that are nobody's business.
    rules.firewall.heartbeat();
    let attachments = program
        .attach_all(&config.ifaces, config.operation_mode)
        .map_err(StartError::Attach)?;
    let problems = rules.problems.clone();
    Ok(Arc::new(Filter::new(Box::new(attachments), problems)))
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

/// A set that cannot be read, or sets that do not fit, keep nothing else from working.
fn load_sets(
    config: &Config,
    firewall: &Firewall,
) -> Result<(SetStore, Vec<SetProblem>), StartError> {
    let sets = SetStore::open(&config.working_dir).map_err(StartError::Sets)?;
    let sets = sets.for_limits(config.limits);
    let (catalog, mut problems) = sets.load_lenient();
    match firewall.replace_sets(&catalog) {
        Ok(change) => tracing::info!("{} rules from set files", change.total),
        Err(error) => {
            let policy = match &error {
                FirewallError::Full { policy, .. } | FirewallError::TooManyTags { policy, .. } => {
                    *policy
                }
                _ => Policy::Drop,
            };
            problems.push(sets_problem(policy, format!("no set is in force: {error}")));
        }
    }
    for problem in &problems {
        tracing::error!("a set file is not loaded: {}", problem.message);
    }
    Ok((sets, problems))
}

fn repeaters(rules: &Rules, filter: &Arc<Filter>) -> std::io::Result<Repeaters> {
    let mut repeaters = Repeaters::default();
    let firewall = Arc::clone(&rules.firewall);
    repeaters.every(EXPIRY, "couic-expiry", move || {
        firewall.expire_due();
    })?;
    let firewall = Arc::clone(&rules.firewall);
    repeaters.every(SECOND, "couic-heart", move || firewall.heartbeat())?;
    // On a thread of its own: the kernel may take its time to answer.
    let (firewall, sets) = (Arc::clone(&rules.firewall), Arc::clone(&rules.sets));
    let filter = Arc::clone(filter);
    let mut watch = Watch::default();
    let mut round = 0_u32;
    repeaters.every(SECOND, "couic-watch", move || {
        for turn in watch.turns(&filter.interfaces()) {
            turn.log();
        }
        round = round.wrapping_add(1);
        if round.is_multiple_of(5) {
            filter.forget_mended(&sets, &firewall);
        }
    })?;
    Ok(repeaters)
}

fn serve(
    runtime: &Runtime,
    listener: UnixListener,
    api: Api,
    signals: Signals,
) -> Result<(), StartError> {
    listener
        .set_nonblocking(true)
        .map_err(StartError::system("use the socket"))?;
    runtime.block_on(async {
        let listener = tokio::net::UnixListener::from_std(listener)
            .map_err(StartError::system("use the socket"))?;
        let summary = api::serve(listener, Arc::new(api), signals.first(), DRAIN).await;
        tracing::info!(
            "{} connections served, {} refused, {} cut off at the end",
            summary.served,
            summary.refused,
            summary.aborted
        );
        Ok(())
    })
}
