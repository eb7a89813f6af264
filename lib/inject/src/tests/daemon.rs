//! A stand-in for the daemon: it applies batches as the daemon does, and fails as it is told.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    sync::Arc,
};

use couic_common::{BatchFailure, BatchJob, BatchOutcome, ErrorCode, PeerAction};
use couic_testkit::{LONG, Reply, Request, StandIn, until};
use parking_lot::{Condvar, Mutex};

use crate::{Config, Injector, Limits};

pub(crate) const TOKEN: &str = "b09d58a9-aaf1-4911-a592-040ff5dc45eb";

/// How it fails a job; None for those that it takes.
type Judge = Box<dyn FnMut(&BatchJob) -> Option<(ErrorCode, String)> + Send>;

pub(crate) struct World {
    /// Every batch that was received, whatever was answered.
    pub(crate) batches: Vec<Vec<BatchJob>>,
    /// The rules in force, with their time left.
    pub(crate) rules: HashMap<(String, Option<String>), Option<u64>>,
    /// Answers to the next batches instead of the right ones.
    pub(crate) instead: VecDeque<Reply>,
    pub(crate) token: String,
    pub(crate) judge: Judge,
    /// The answer to `GET /v1/ignore`.
    pub(crate) ignore: Reply,
    /// The answer to `GET /v1/drop`.
    pub(crate) drop: Reply,
    /// While set, batches are not answered.
    pub(crate) is_gated: bool,
}

/// The stand-in; a link to its socket can be taken away.
pub(crate) struct Fake {
    _stand_in: StandIn,
    pub(crate) world: Arc<Mutex<World>>,
    gate: Arc<Condvar>,
    dir: PathBuf,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let world = Arc::new(Mutex::new(World {
            batches: Vec::new(),
            rules: HashMap::new(),
            instead: VecDeque::new(),
            token: TOKEN.to_owned(),
            judge: Box::new(|_| None),
            ignore: Reply::text(200, "application/x-ndjson", ""),
            drop: Reply::text(200, "application/x-ndjson", ""),
            is_gated: false,
        }));
        let gate = Arc::new(Condvar::new());
        let (shared, waits) = (Arc::clone(&world), Arc::clone(&gate));
        let stand_in = StandIn::unix(move |request| answer(&shared, &waits, request));
        let dir = stand_in.dir.path().to_owned();
        fs::write(dir.join("token"), TOKEN).unwrap();
        let fake = Self {
            _stand_in: stand_in,
            world,
            gate,
            dir,
        };
        fake.come();
        fake
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Its socket appears.
    pub(crate) fn come(&self) {
        symlink(self.path("couic.sock"), self.path("link")).unwrap();
    }

    /// Its socket disappears; open connections stay.
    pub(crate) fn go(&self) {
        fs::remove_file(self.path("link")).unwrap();
    }

    /// A client without the ignore list.
    pub(crate) fn start(&self, limits: Limits) -> Injector {
        let mut config = self.config();
        config.watch_ignored = false;
        Injector::start(config, limits).unwrap()
    }

    pub(crate) fn config(&self) -> Config {
        Config::unix(self.path("link"), self.path("token"))
    }

    pub(crate) fn shut_gate(&self) {
        self.world.lock().is_gated = true;
    }

    pub(crate) fn open_gate(&self) {
        self.world.lock().is_gated = false;
        self.gate.notify_all();
    }

    pub(crate) fn instead(&self, replies: impl IntoIterator<Item = Reply>) {
        self.world.lock().instead.extend(replies);
    }

    /// Waits until so many batches have been received.
    pub(crate) fn await_batches(&self, count: usize) {
        let batches = || (self.world.lock().batches.len() >= count).then_some(());
        until("batches arrive", LONG, batches);
    }

    /// The jobs of all batches: `+` or `-`, and the CIDR.
    pub(crate) fn jobs(&self) -> Vec<Vec<String>> {
        let world = self.world.lock();
        let shown = |job: &BatchJob| {
            let sign = match job.action {
                PeerAction::Add => '+',
                PeerAction::Remove => '-',
            };
            format!("{sign}{}", job.entry.cidr)
        };
        let batches = world.batches.iter();
        batches
            .map(|jobs| jobs.iter().map(shown).collect())
            .collect()
    }

    /// The CIDRs in force, sorted.
    pub(crate) fn in_force(&self) -> Vec<String> {
        let world = self.world.lock();
        let mut cidrs: Vec<String> = world.rules.keys().map(|(cidr, _)| cidr.clone()).collect();
        cidrs.sort();
        cidrs
    }
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(r#"{{"code":"{code}","message":"{message}","errors":{{}}}}"#);
    Reply::json(status, body)
}

fn answer(world: &Mutex<World>, gate: &Condvar, request: &Request) -> Reply {
    let mut world = world.lock();
    let bearer = format!("Bearer {}", world.token);
    if request.header("authorization") != Some(&bearer) {
        return error(401, "unauthorized", "no valid token");
    }
    if request.line().starts_with("GET /v1/ignore") {
        return world.ignore.clone();
    }
    if request.line().starts_with("GET /v1/drop") {
        assert_eq!(request.line(), "GET /v1/drop?tag=cs-*&owners=true");
        return world.drop.clone();
    }
    assert_eq!(request.line(), "POST /v1/drop/batch");
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    let lines = request.body.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    let jobs: Vec<BatchJob> = lines.map(|l| serde_json::from_slice(l).unwrap()).collect();
    world.batches.push(jobs.clone());
    while world.is_gated {
        gate.wait(&mut world);
    }
    if let Some(reply) = world.instead.pop_front() {
        return reply;
    }
    Reply::json(
        200,
        serde_json::to_string(&apply(&mut world, jobs)).unwrap(),
    )
}

fn apply(world: &mut World, jobs: Vec<BatchJob>) -> BatchOutcome {
    let mut outcome = BatchOutcome::default();
    for (index, job) in (0..).zip(jobs) {
        if let Some((code, message)) = (world.judge)(&job) {
            outcome.failed += 1;
            if outcome.failures.len() < 1_000 {
                let cidr = Some(job.entry.cidr);
                outcome.failures.push(BatchFailure {
                    index,
                    cidr,
                    code,
                    message,
                    rail: None,
                });
            }
            continue;
        }
        let key = (job.entry.cidr, job.entry.tag);
        match job.action {
            PeerAction::Remove => {
                let removed = world.rules.remove(&key).is_some();
                *if removed {
                    &mut outcome.removed
                } else {
                    &mut outcome.unchanged
                } += 1;
            }
            PeerAction::Add => match world.rules.insert(key, job.entry.ttl) {
                None => outcome.added += 1,
                Some(_) => outcome.updated += 1,
            },
        }
    }
    outcome
}
