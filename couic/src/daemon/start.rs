//! The second half of the start, without privileges: subscribers of the rules, the filter on its interfaces, the API.

use std::{mem, os::unix::net::UnixListener, sync::Arc};

use couic_common::{ClientName, Group, Health};
use couic_privsep::Hardening;
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::{
    StartError,
    every::Repeaters,
    filter::Filter,
    health::HealthSources,
    panic_and_confirm::PanicAndConfirm,
    privileged::Privileged,
    reload::ReloadState,
    repeat::{repeat, report_traffic},
    rules::Rules,
    state,
    subscribers::{start_peering, start_reporting},
    watchdog::Watchdog,
};
use crate::{
    api::{Api, ListeningSocket},
    attach::{Attacher, WorkLock},
    config::Config,
    events::Events,
    exporter::Exporter,
    host::Host,
    logging::{AuditFiles, ChangeLog, Log},
    metrics::MetricsRegistry,
    peering::{Engine, Peering},
    rbac::ClientStore,
    reporting::{Reporting, TrafficMeter},
};

/// Changes queued for the log: half a second at half a million per second, some 60 MB at most. A reload of large sets
/// has an entry for each.
const LOG_QUEUE: usize = 1 << 18;

/// The parts that run until shutdown.
pub(super) struct Running {
    // In shutdown order, also if the start fails halfway.
    pub(super) peering: Option<Peering>,
    pub(super) repeaters: Repeaters,
    pub(super) rules: Rules,
    pub(super) filter: Arc<Filter>,
    pub(super) reporting: Option<Reporting>,
    pub(super) changes: ChangeLog,
    /// If traffic is reported.
    pub(super) traffic: Option<Arc<Mutex<TrafficMeter>>>,
    pub(super) socket: ListeningSocket,
    pub(super) lock: WorkLock,
    pub(super) reload_state: Arc<ReloadState>,
}

/// What is served until shutdown.
pub(super) struct Services {
    pub(super) api: Arc<Api>,
    pub(super) listener: UnixListener,
    /// Metrics over TCP.
    pub(super) exporter: Option<Exporter>,
}

impl Services {
    fn new(api: Api, listener: UnixListener, exporter: Option<Exporter>) -> Self {
        let api = Arc::new(api);
        Self {
            api,
            listener,
            exporter,
        }
    }
}

impl Running {
    pub(super) fn start(
        config: &Config,
        log: &Log,
        runtime: &Runtime,
        privileged: Privileged,
        watchdog: Option<Watchdog>,
    ) -> Result<(Self, Services), StartError> {
        let mut rules = privileged.rules;
        let changes = log.log_changes(rules.firewall.subscribe(LOG_QUEUE))?;
        let reporting = start_reporting(config, runtime, &rules.firewall, privileged.spawner)?;
        let registers = mem::take(&mut rules.registers);
        let peering = start_peering(config, runtime, &rules.firewall, registers)?;
        // After the subscriptions, so that undone changes are reported.
        let panic_and_confirm = PanicAndConfirm::open(config, &rules)?;
        let filter = filter_packets(privileged.attacher, &rules)?;
        let metrics = measured(&privileged.hardening);
        let events = keep_changes(&rules, &metrics)?;
        let engine = peering.as_ref().map(Peering::engine);
        let place = privileged.socket.place();
        let repeaters = repeat(&rules, &filter, &metrics, watchdog, place);
        let mut repeaters = with_writers(repeaters, &rules, engine.clone())?;
        panic_and_confirm.watch(&mut repeaters)?;
        let notifiers = reporting.as_ref().map(Reporting::notifiers);
        let clients = Arc::new(privileged.clients);
        exempt_admins(&rules, &clients);
        let reload_state = Arc::<ReloadState>::default();
        let health = HealthSources {
            filter: Arc::clone(&filter),
            firewall: Arc::clone(&rules.firewall),
            panic_and_confirm: panic_and_confirm.clone(),
            unsaved: privileged.unsaved,
            notes: privileged.notes,
            missing_features: privileged.missing_features,
            notifiers: notifiers.clone(),
            peers: engine.clone(),
            metrics: privileged.exporter.as_ref().map(Exporter::problem),
            reload: Arc::clone(&reload_state),
        }
        .document();
        let traffic = measure(config, reporting.as_ref(), &rules, &health, &mut repeaters)?;
        let api = Api {
            firewall: Arc::clone(&rules.firewall),
            sets: Arc::clone(&rules.sets),
            clients,
            metrics,
            health,
            notifiers,
            peering: engine,
            audit: audit_files(config),
            events,
            panic: panic_and_confirm.panic,
            confirmations: panic_and_confirm.confirmations,
            host: Host::new(&config.working_dir, Some(&config.logging.dir)),
        };
        let running = Self {
            peering,
            repeaters,
            rules,
            filter,
            reporting,
            traffic,
            changes,
            socket: privileged.socket,
            lock: privileged.lock,
            reload_state,
        };
        let services = Services::new(api, privileged.listener, privileged.exporter);
        Ok((running, services))
    }
}

/// The last changes of rules, for those who follow them.
fn keep_changes(rules: &Rules, metrics: &MetricsRegistry) -> Result<Arc<Events>, StartError> {
    Events::start(&rules.firewall, Arc::clone(&metrics.event_streams))
        .map_err(StartError::system("start threads"))
}

/// The metrics, with how this process is confined.
fn measured(hardening: &Hardening) -> Arc<MetricsRegistry> {
    let metrics = MetricsRegistry::new();
    metrics.show_hardening(hardening.landlock.unwrap_or(0), hardening.seccomp);
    Arc::new(metrics)
}

/// Starts what writes the state, besides the periodic work.
fn with_writers(
    repeaters: std::io::Result<Repeaters>,
    rules: &Rules,
    engine: Option<Arc<Engine>>,
) -> Result<Repeaters, StartError> {
    let written = repeaters.and_then(|mut all| {
        state::keep_writing(&mut all, &rules.firewall, engine)?;
        rules.needs.resolve()?;
        Ok(all)
    });
    written.map_err(StartError::system("start threads"))
}

/// Starts to measure traffic, if it is to be reported.
fn measure(
    config: &Config,
    reporting: Option<&Reporting>,
    rules: &Rules,
    health: &Arc<dyn Fn() -> Health + Send + Sync>,
    repeaters: &mut Repeaters,
) -> Result<Option<Arc<Mutex<TrafficMeter>>>, StartError> {
    let Some(reporting) = reporting.filter(|_| config.reporting.traffic) else {
        return Ok(None);
    };
    let meter = reporting.meter(&rules.firewall, Arc::clone(health));
    let meter = Arc::new(Mutex::new(meter));
    report_traffic(repeaters, &meter).map_err(StartError::system("start threads"))?;
    tracing::info!("reporting traffic each minute");
    Ok(Some(meter))
}

fn audit_files(config: &Config) -> Option<AuditFiles> {
    let logging = &config.logging;
    logging.audit.then(|| AuditFiles::new(&logging.dir))
}

/// Admins have no share of tables and tags.
fn exempt_admins(rules: &Rules, clients: &Arc<ClientStore>) {
    let clients = Arc::clone(clients);
    let is_admin = move |name: &ClientName| {
        let found = clients.get(name);
        found.is_some_and(|client| client.group == Group::Admin)
    };
    rules.firewall.set_admins(is_admin);
}

/// Attaches the filter: the last step that can fail, so that a failed start leaves the previous filter as it was.
fn filter_packets(attacher: Attacher, rules: &Rules) -> Result<Arc<Filter>, StartError> {
    // Deadlines count from the heartbeat on, so it comes before the first packet.
    rules.firewall.heartbeat();
    attacher.attach_all()?;
    let names: Vec<String> = attacher
        .interfaces()
        .into_iter()
        .filter_map(|interface| interface.health.attached.then_some(interface.health.name))
        .collect();
    let names = names.join(", ");
    tracing::info!(target: "couic::audit", action = "attached", "filtering on {names}");
    let problems = rules.problems.clone();
    Ok(Arc::new(Filter::new(Box::new(attacher), problems)))
}
