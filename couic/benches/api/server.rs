//! The serving side: a child process, so that its memory is its own.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use couic::{
    api::{Api, serve},
    events::Events,
    host::Host,
    metrics::MetricsRegistry,
    rbac::ClientStore,
};
use couic_common::{ActionStats, Counter, Health, NotInspected, Policy, RuleKey};
use couic_firewall::{
    confirm::Confirmations,
    dataplane::{
        self, Counters, Limits, Loaded, MemoryPlane, Plane, PlaneError, PlaneRule, TagSlot, Valve,
    },
    panic_switch::PanicSwitch,
    rules::{Firewall, SetStore, SystemClock},
};
use couic_testkit::{Connection, admin_token};
use tempfile::TempDir;
use tokio::net::UnixListener;

use crate::SERVE;

/// A data plane that does nothing, for machines where the real one cannot be loaded.
struct NoPlane;

impl Plane for NoPlane {
    fn put(&mut self, _: RuleKey, _: PlaneRule) -> Result<(), PlaneError> {
        Ok(())
    }

    fn remove(&mut self, _: RuleKey) -> Result<(), PlaneError> {
        Ok(())
    }

    fn heartbeat(&mut self, _: u64) {}

    fn held(&self, _: RuleKey) -> Option<PlaneRule> {
        None
    }

    fn decides(&self, _: IpAddr) -> Option<(Policy, TagSlot)> {
        None
    }

    fn erase(&mut self, _: RuleKey) {}

    fn walk(&self, _: usize, _: usize, _: &mut dyn FnMut(RuleKey)) -> Option<usize> {
        None
    }

    fn valve(&self) -> Arc<dyn Valve> {
        MemoryPlane::default().valve()
    }
}

impl Counters for NoPlane {
    fn not_inspected(&self) -> NotInspected {
        NotInspected::default()
    }

    fn actions(&self) -> ActionStats {
        ActionStats::default()
    }

    fn tag(&self, _: Policy, _: TagSlot) -> Counter {
        Counter::default()
    }
}

/// A running child.
pub(crate) struct Server {
    child: Child,
    dir: TempDir,
    pub(crate) token: String,
    /// What stands behind the firewall core in the child.
    pub(crate) plane: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(env::current_exe().unwrap())
            .arg(SERVE)
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let plane = line.trim().strip_prefix("ready: ").unwrap().to_owned();
        let token = admin_token(dir.path());
        Self {
            child,
            dir,
            token,
            plane,
        }
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::unix(socket(self.dir.path())).unwrap()
    }

    /// How couic-inject reaches it.
    pub(crate) fn injection(&self) -> couic_inject::Config {
        let file = self.dir.path().join("token");
        fs::write(&file, &self.token).unwrap();
        couic_inject::Config::unix(socket(self.dir.path()), file)
    }

    pub(crate) fn set_file(&self, name: &str) -> PathBuf {
        self.dir
            .path()
            .join("sets/drop")
            .join(format!("{name}.couic"))
    }

    pub(crate) fn resident_mb(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024.0 / 1e6
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The child ends when its input does.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("socket")
}

/// What the child does: it serves until its input ends.
pub(crate) fn child(dir: &Path) -> ExitCode {
    let limits = Limits::default();
    // The program is loaded and attached nowhere: what is measured is not packets.
    let (plane, counters, name, program): (Box<dyn Plane>, Arc<dyn Counters>, _, _) =
        match dataplane::load(limits, false) {
            Ok(Loaded {
                plane,
                counters,
                program,
            }) => (
                plane,
                counters,
                "the XDP program's tables".to_owned(),
                Some(program),
            ),
            Err(error) => {
                let name = format!("none, updates do nothing ({error})");
                (Box::new(NoPlane), Arc::new(NoPlane), name, None)
            }
        };
    let firewall = Firewall::new(plane, counters, limits, Arc::new(SystemClock));
    let (firewall, sets) = (Arc::new(firewall), Arc::new(SetStore::open(dir).unwrap()));
    let confirmations = Confirmations::open(dir, Arc::clone(&firewall), Arc::clone(&sets)).unwrap();
    let metrics = Arc::new(MetricsRegistry::new());
    let api = Arc::new(Api {
        audit: None,
        events: Events::start(&firewall, Arc::clone(&metrics.event_streams)).unwrap(),
        panic: Arc::new(PanicSwitch::open(dir, Arc::clone(&firewall))),
        confirmations: Arc::new(confirmations),
        host: Host::new(dir, None),
        firewall,
        sets,
        clients: Arc::new(ClientStore::open(dir).unwrap()),
        metrics,
        notifiers: None,
        peering: None,
        health: Arc::new(|| Health::well("")),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = UnixListener::bind(socket(dir)).unwrap();
        println!("ready: {name}");
        std::io::stdout().flush().unwrap();
        let input_ends = async {
            let wait = || std::io::stdin().read_line(&mut String::new()).unwrap_or(0);
            let _ = tokio::task::spawn_blocking(wait).await;
        };
        serve(listener, api, input_ends, Duration::from_secs(1)).await;
    });
    drop(program);
    ExitCode::SUCCESS
}
