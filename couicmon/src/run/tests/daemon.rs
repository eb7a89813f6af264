//! A stand-in for the daemon: takes batches, tells its ignore list, and can be away.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::PathBuf, sync::Arc};

use couic_common::{BatchJob, BatchOutcome};
use couic_testkit::{LONG, Reply, Request, StandIn, until};
use parking_lot::Mutex;

const TOKEN: &str = "b09d58a9-aaf1-4911-a592-040ff5dc45eb";

#[derive(Default)]
struct World {
    /// The last job for each network.
    rules: BTreeMap<String, BatchJob>,
    jobs: usize,
    /// The ignore list; None answers with 503.
    ignore: Option<String>,
    /// The token is refused.
    revoked: bool,
}

pub(super) struct Daemon {
    stand_in: StandIn,
    world: Arc<Mutex<World>>,
}

impl Daemon {
    pub(super) fn new() -> Self {
        let world = World {
            ignore: Some(String::new()),
            ..World::default()
        };
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        let stand_in = StandIn::unix(move |request| answer(&shared, request));
        fs::write(stand_in.dir.path().join("token"), TOKEN).unwrap();
        let daemon = Self { stand_in, world };
        daemon.come();
        daemon
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.stand_in.dir.path().join("link")
    }

    pub(super) fn token_file(&self) -> PathBuf {
        self.stand_in.dir.path().join("token")
    }

    pub(super) fn come(&self) {
        symlink(self.stand_in.dir.path().join("couic.sock"), self.socket()).unwrap();
    }

    /// Its socket disappears. Call it before anything connects.
    pub(super) fn go(&self) {
        fs::remove_file(self.socket()).unwrap();
    }

    pub(super) fn set_ignore(&self, list: Option<&str>) {
        self.world.lock().ignore = list.map(str::to_owned);
    }

    pub(super) fn revoke(&self, revoked: bool) {
        self.world.lock().revoked = revoked;
    }

    pub(super) fn await_rule(&self, cidr: &str) -> BatchJob {
        let found = || self.world.lock().rules.get(cidr).cloned();
        until(&format!("a rule for {cidr}"), LONG, found).0
    }

    pub(super) fn in_force(&self) -> Vec<String> {
        self.world.lock().rules.keys().cloned().collect()
    }

    /// Jobs received so far.
    pub(super) fn jobs(&self) -> usize {
        self.world.lock().jobs
    }
}

fn answer(world: &Mutex<World>, request: &Request) -> Reply {
    let mut world = world.lock();
    assert_eq!(
        request.header("authorization"),
        Some(&*format!("Bearer {TOKEN}"))
    );
    if world.revoked {
        let body = r#"{"code":"unauthorized","message":"no valid token","errors":{}}"#;
        return Reply::json(401, body.to_owned());
    }
    if request.line().starts_with("GET /v1/ignore") {
        return match &world.ignore {
            Some(list) => Reply::text(200, "application/x-ndjson", list.clone()),
            None => Reply::status(503),
        };
    }
    assert_eq!(request.line(), "POST /v1/drop/batch");
    let mut outcome = BatchOutcome::default();
    for line in request
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let job: BatchJob = serde_json::from_slice(line).unwrap();
        world.jobs += 1;
        match world.rules.insert(job.entry.cidr.clone(), job) {
            None => outcome.added += 1,
            Some(_) => outcome.updated += 1,
        }
    }
    Reply::json(200, serde_json::to_string(&outcome).unwrap())
}
