//! The API over an in-memory data plane, and the common checks of every response.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use couic::{
    api::{Api, routes},
    host::Host,
    metrics::MetricsRegistry,
    peering::{Engine, PeerSettings, Time},
    rbac::ClientStore,
    reporting::Notifiers,
};
use couic_common::{Group, Health, InterfaceHealth, XdpMode};
use couic_firewall::{
    confirm::Confirmations,
    dataplane::{Limits, MemoryPlane},
    guard::{Guard, HostAddress, HostSource},
    panic_switch::PanicSwitch,
    rules::{Clock, Firewall, ManualClock, SetStore},
};
use couic_peering::Limits as PeerLimits;
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;
use warp::{
    http::{HeaderMap, Method, StatusCode, header},
    test::RequestBuilder,
};

/// Initial time of the tests' clock.
pub(crate) const NOW: u64 = 1_800_000_000;

/// An address of the tests' host.
pub(crate) const HOST: &str = "198.51.100.7";

struct TestHost;

impl HostSource for TestHost {
    fn addresses(&self) -> io::Result<Vec<HostAddress>> {
        let addr = HOST.parse().unwrap();
        let role = "an address of this host (test0)".to_owned();
        Ok(vec![HostAddress { addr, role }])
    }
}

pub(crate) type HealthSource = Box<dyn Fn() -> Health + Send>;

/// An API and its resources.
pub(crate) struct TestApi {
    pub(crate) api: Arc<Api>,
    pub(crate) dir: TempDir,
    pub(crate) plane: MemoryPlane,
    pub(crate) clock: Arc<ManualClock>,
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
    let peering = peering.map(|(peers, _, time)| {
        let (limits, day) = (PeerLimits::default(), Duration::from_secs(86_400));
        let machine = Uuid::new_v4().as_fields().0;
        Arc::new(Engine::new(
            machine,
            Arc::clone(&firewall),
            peers,
            limits,
            day,
            time,
        ))
    });
    let clients = ClientStore::open(dir.path()).unwrap();
    for group in Group::ALL {
        let name = group.as_str().parse().unwrap();
        clients.create(name, group).unwrap();
    }
    let health = Arc::new(Mutex::new(Box::new(healthy) as HealthSource));
    let state = Arc::clone(&health);
    let sets = Arc::new(SetStore::open(dir.path()).unwrap());
    let panic = Arc::new(PanicSwitch::open(dir.path(), Arc::clone(&firewall)));
    let switch = Arc::clone(&panic);
    let confirmations = Confirmations::open(dir.path(), Arc::clone(&firewall), Arc::clone(&sets));
    let confirmations = Arc::new(confirmations.unwrap());
    let changes = Arc::clone(&confirmations);
    let api = Arc::new(Api {
        panic,
        confirmations,
        host: Host::new(dir.path(), None),
        firewall,
        sets,
        clients: Arc::new(clients),
        guard: Guard::with_source(enforce, Box::new(TestHost)),
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
    TestApi {
        api,
        dir,
        plane,
        clock,
        health,
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

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{body}");
        self
    }

    /// Asserts an error with this status and code. Returns the names of its details.
    #[track_caller]
    pub(crate) fn error(self, status: u16, code: &str) -> Vec<String> {
        let reply = self.is(status);
        let json = reply.json();
        assert_eq!(json["code"], code, "{json}");
        json["errors"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    }
}

/// A request under construction.
pub(crate) struct Asked<'a> {
    test: &'a TestApi,
    method: Method,
    builder: RequestBuilder,
}

impl TestApi {
    pub(crate) fn token(&self, group: Group) -> Uuid {
        let name = group.as_str().parse().unwrap();
        self.api.clients.get(&name).unwrap().token
    }

    /// A request without a token.
    pub(crate) fn anonymous(&self, method: &str, path: &str) -> Asked<'_> {
        let method: Method = method.parse().unwrap();
        let builder = warp::test::request().method(method.as_str()).path(path);
        Asked {
            test: self,
            method,
            builder,
        }
    }

    pub(crate) fn as_group(&self, group: Group, method: &str, path: &str) -> Asked<'_> {
        let bearer = format!("Bearer {}", self.token(group));
        self.anonymous(method, path)
            .header("authorization", &bearer)
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Asked<'_> {
        self.as_group(Group::Admin, method, path)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path).json(body).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.ask("PUT", path).json(body).send().await
    }

    /// Adds an entry that never expires.
    pub(crate) async fn add(&self, policy: &str, cidr: &str, tag: Option<&str>) {
        let body = serde_json::json!({"cidr": cidr, "expiration": 0, "tag": tag});
        self.post(&format!("/v1/{policy}"), &body).await.is(201);
    }
}

impl Asked<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.builder = self.builder.body(body);
        self
    }

    /// A body with the content type of JSON.
    pub(crate) fn text(self, body: &str) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text(&body.to_string())
    }

    pub(crate) async fn send(self) -> Reply {
        let filter = routes(Arc::clone(&self.test.api));
        let response = self.builder.reply(&filter).await;
        let reply = Reply {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.body().to_vec(),
        };
        check(&self.method, &reply);
        reply
    }
}

/// The invariants of every response.
fn check(method: &Method, reply: &Reply) {
    let kind = reply.headers.get(header::CONTENT_TYPE);
    let kind = kind.map(|value| value.to_str().unwrap());
    let status = reply.status.as_u16();
    if *method == Method::HEAD || status == 204 {
        assert!(reply.body.is_empty(), "unexpected body: {reply:?}");
        return;
    }
    match status {
        // NDJSON may be empty.
        200 if kind == Some("application/x-ndjson") => {}
        200 | 201 => assert!(kind.is_some() && !reply.body.is_empty(), "{reply:?}"),
        503 if reply.json()["interfaces"].is_array() => {}
        _ => check_error(status, kind, reply),
    }
}

fn check_error(status: u16, kind: Option<&str>, reply: &Reply) {
    assert_eq!(kind, Some("application/json"), "{reply:?}");
    let error: Value = reply.json();
    let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "message", "errors"], "{error}");
    let codes: &[&str] = match status {
        400 | 408 | 413 => &["bad_request"],
        401 => &["unauthorized"],
        404 => &["not_found"],
        405 => &["not_implemented"],
        409 => &["conflict"],
        422 => &["invalid", "processing", "bad_request"],
        500 | 503 => &["internal"],
        other => panic!("{other} is not a status of the contract: {error}"),
    };
    assert!(
        codes.contains(&error["code"].as_str().unwrap()),
        "{status} {error}"
    );
    assert!(!error["message"].as_str().unwrap().is_empty(), "{error}");
    for (field, detail) in error["errors"].as_object().unwrap() {
        let keys: Vec<&String> = detail.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["code", "message"], "{field} in {error}");
        assert!(
            detail["code"].is_string() && detail["message"].is_string(),
            "{error}"
        );
    }
    assert_eq!(status == 405, reply.headers.contains_key(header::ALLOW));
    assert_eq!(
        status == 401,
        reply.headers.contains_key(header::WWW_AUTHENTICATE)
    );
}
