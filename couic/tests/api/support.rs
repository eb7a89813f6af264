//! The API over an in-memory data plane.

mod requests;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use couic::{
    api::Api,
    host::Host,
    logging::AuditFiles,
    metrics::MetricsRegistry,
    peering::{Engine, PeerSettings, Time},
    rbac::{ClientStore, NewClient},
    reporting::Notifiers,
};
use couic_common::{ClientName, Group, Health, InterfaceHealth, Rail, XdpMode};
use couic_firewall::{
    confirm::Confirmations,
    dataplane::{Limits, MemoryPlane},
    guard::{Guard, HostAddress, HostSource, Rails},
    panic_switch::PanicSwitch,
    rules::{Clock, Firewall, ManualClock, SetStore},
};
use couic_peering::Limits as PeerLimits;
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) use requests::Reply;

/// Initial time of the tests' clock.
pub(crate) const NOW: u64 = 1_800_000_000;

/// An address of the tests' host.
pub(crate) const HOST: &str = "198.51.100.7";

struct TestHost;

impl HostSource for TestHost {
    fn addresses(&self) -> io::Result<Vec<HostAddress>> {
        let addr = HOST.parse().unwrap();
        let role = "an address of this host (test0)".to_owned();
        let rail = Rail::Host;
        Ok(vec![HostAddress { rail, addr, role }])
    }
}

pub(crate) type HealthSource = Box<dyn Fn() -> Health + Send>;

/// An API and its resources.
pub(crate) struct TestApi {
    pub(crate) api: Arc<Api>,
    pub(crate) dir: TempDir,
    pub(crate) plane: MemoryPlane,
    pub(crate) clock: Arc<ManualClock>,
    /// Of the clients that were created here.
    tokens: Mutex<HashMap<ClientName, Uuid>>,
    /// The source of health.
    pub(crate) health: Arc<Mutex<HealthSource>>,
}

pub(crate) fn start() -> TestApi {
    start_with(Limits::default(), false)
}

/// An API with reporting.
pub(crate) fn start_reporting(notifiers: Notifiers) -> TestApi {
    furnish(
        MemoryPlane::default(),
        Limits::default(),
        false,
        Some(notifiers),
        None,
    )
}

/// An API that shares rules with these peers, and with any client that has a token.
pub(crate) fn start_peering(
    peers: Vec<PeerSettings>,
    clock: Arc<dyn Clock>,
    time: Time,
) -> TestApi {
    furnish(
        MemoryPlane::default(),
        Limits::default(),
        false,
        None,
        Some((peers, clock, time)),
    )
}

pub(crate) fn start_with(limits: Limits, enforce: bool) -> TestApi {
    furnish(MemoryPlane::default(), limits, enforce, None, None)
}

/// An API that counts hits per rule.
pub(crate) fn start_counting() -> TestApi {
    furnish(
        MemoryPlane::counting_rules(),
        Limits::default(),
        false,
        None,
        None,
    )
}

type Shared = (Vec<PeerSettings>, Arc<dyn Clock>, Time);

fn furnish(
    plane: MemoryPlane,
    limits: Limits,
    enforce: bool,
    notifiers: Option<Notifiers>,
    peering: Option<Shared>,
) -> TestApi {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let shown = peering.as_ref().map(|(_, clock, _)| Arc::clone(clock));
    let firewall = Arc::new(Firewall::new(
        Box::new(plane.clone()),
        Arc::new(plane.clone()),
        limits,
        shown.unwrap_or_else(|| Arc::clone(&clock) as _),
    ));
    firewall.set_guard(Guard::with_source(
        enforce,
        Rails::default(),
        Box::new(TestHost),
    ));
    let peering = peering.map(|shared| engine(&firewall, shared));
    let health = Arc::new(Mutex::new(Box::new(healthy) as HealthSource));
    let state = Arc::clone(&health);
    let sets = SetStore::open(dir.path()).unwrap().for_limits(limits);
    let sets = Arc::new(sets);
    let panic = Arc::new(PanicSwitch::open(dir.path(), Arc::clone(&firewall)));
    let switch = Arc::clone(&panic);
    let confirmations = Confirmations::open(dir.path(), Arc::clone(&firewall), Arc::clone(&sets));
    let confirmations = Arc::new(confirmations.unwrap());
    let changes = Arc::clone(&confirmations);
    let api = Arc::new(Api {
        audit: Some(AuditFiles::new(dir.path())),
        panic,
        confirmations,
        host: Host::new(dir.path(), None),
        firewall,
        sets,
        clients: Arc::new(ClientStore::open(dir.path()).unwrap()),
        metrics: Arc::new(MetricsRegistry::new()),
        notifiers,
        peering,
        health: Arc::new(move || {
            let mut found = (*state.lock().unwrap())();
            switch.mark(&mut found);
            found.confirm_problems = changes.problems();
            found.status = found.status.max(found.derived_status());
            found
        }),
    });
    let test = TestApi {
        api,
        dir,
        plane,
        clock,
        tokens: Mutex::default(),
        health,
    };
    for group in Group::ALL {
        test.create_client(group.as_str(), group);
    }
    test
}

fn engine(firewall: &Arc<Firewall>, (peers, _, time): Shared) -> Arc<Engine> {
    let (limits, day) = (PeerLimits::default(), Duration::from_secs(86_400));
    let machine = Uuid::new_v4().as_fields().0;
    let firewall = Arc::clone(firewall);
    Arc::new(Engine::new(machine, firewall, peers, limits, day, time))
}

impl TestApi {
    /// Creates a client, whose token [`TestApi::token_of`] has.
    pub(crate) fn create_client(&self, name: &str, group: Group) {
        let name: ClientName = name.parse().unwrap();
        let client = NewClient {
            name: name.clone(),
            group,
            limits: None,
        };
        let made = self.api.clients.create(client, NOW).unwrap();
        let token = made.token.unwrap();
        self.tokens.lock().unwrap().insert(name, token);
    }

    pub(crate) fn token_of(&self, name: &str) -> Uuid {
        let name: ClientName = name.parse().unwrap();
        self.tokens.lock().unwrap()[&name]
    }
}

pub(crate) fn healthy() -> Health {
    Health {
        interfaces: vec![InterfaceHealth {
            name: "test0".to_owned(),
            attached: true,
            mode: Some(XdpMode::Native),
            note: None,
            problem: None,
        }],
        ..Health::well("2.0.0")
    }
}
