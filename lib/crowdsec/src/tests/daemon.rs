//! A stand-in for the daemon: it keeps claims, answers lists and batches, and refuses what it is told to.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, sync::Arc};

use couic_common::{
    BatchFailure, BatchJob, BatchOutcome, ErrorCode, PeerAction, Rail, unix_seconds,
};
use couic_inject::{Injector, Limits};
use couic_testkit::{Reply, Request, StandIn};
use parking_lot::Mutex;
use serde_json::json;

const TOKEN: &str = "b09d58a9-aaf1-4911-a592-040ff5dc45eb";

#[derive(Default)]
pub(super) struct World {
    /// The ends of claims, by network and tag.
    pub(super) claims: BTreeMap<(String, String), u64>,
    /// How many bans and removals came.
    pub(super) jobs: [usize; 2],
    pub(super) refuses: Vec<String>,
    /// What the ignore list answers; an empty list by default.
    pub(super) ignored: Option<Reply>,
    /// Networks that were banned, in this order.
    pub(super) banned: Vec<String>,
    pub(super) reasons: BTreeMap<String, String>,
}

pub(super) struct Daemon {
    stand_in: StandIn,
    pub(super) world: Arc<Mutex<World>>,
}

impl Daemon {
    pub(super) fn new() -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let shared = Arc::clone(&world);
        let stand_in = StandIn::unix(move |request| answer(&mut shared.lock(), request));
        fs::write(stand_in.dir.path().join("token"), TOKEN).unwrap();
        let daemon = Self { stand_in, world };
        daemon.come();
        daemon
    }

    pub(super) fn come(&self) {
        symlink(&self.stand_in.socket, self.stand_in.dir.path().join("link")).unwrap();
    }

    pub(super) fn go(&self) {
        fs::remove_file(self.stand_in.dir.path().join("link")).unwrap();
    }

    pub(super) fn injector(&self) -> Arc<Injector> {
        let dir = self.stand_in.dir.path();
        let config = couic_inject::Config::unix(dir.join("link"), dir.join("token"));
        Arc::new(Injector::start(config, Limits::default()).unwrap())
    }

    /// `NETWORK TAG`, sorted.
    pub(super) fn claims(&self) -> Vec<String> {
        let world = self.world.lock();
        world
            .claims
            .keys()
            .map(|(cidr, tag)| format!("{cidr} {tag}"))
            .collect()
    }

    /// A claim, as if of a former run.
    pub(super) fn put(&self, cidr: &str, tag: &str) {
        let key = (cidr.to_owned(), tag.to_owned());
        self.world.lock().claims.insert(key, unix_seconds() + 3_620);
    }

    pub(super) fn refuse(&self, cidr: &str) {
        self.world.lock().refuses.push(cidr.to_owned());
    }
}

fn answer(world: &mut World, request: &Request) -> Reply {
    let line = request.line();
    if line.starts_with("GET /v1/ignore") {
        let empty = || Reply::text(200, "application/x-ndjson", "");
        return world.ignored.clone().unwrap_or_else(empty);
    }
    if line.starts_with("GET /v1/drop") {
        let list = world.claims.iter().map(|((cidr, tag), until)| {
            let owner =
                json!({"kind": "client", "name": "bouncer", "tag": tag, "expiration": until});
            json!({"creation": 1, "cidr": cidr, "tag": tag, "expiration": until, "owners": [owner]})
                .to_string()
                + "\n"
        });
        return Reply::text(200, "application/x-ndjson", list.collect::<String>());
    }
    assert_eq!(line, "POST /v1/drop/batch");
    let lines = request
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let jobs: Vec<BatchJob> = lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    Reply::json(200, serde_json::to_string(&apply(world, jobs)).unwrap())
}

fn apply(world: &mut World, jobs: Vec<BatchJob>) -> BatchOutcome {
    let mut outcome = BatchOutcome::default();
    for (index, BatchJob { action, entry }) in (0..).zip(jobs) {
        world.jobs[usize::from(action == PeerAction::Remove)] += 1;
        if action == PeerAction::Add && world.refuses.contains(&entry.cidr) {
            outcome.failed += 1;
            outcome.failures.push(BatchFailure {
                index,
                cidr: Some(entry.cidr),
                code: ErrorCode::Processing,
                message: "it is this host".to_owned(),
                rail: Some(Rail::Host),
            });
            continue;
        }
        if action == PeerAction::Add {
            world.banned.push(entry.cidr.clone());
        }
        let key = (entry.cidr, entry.tag.unwrap_or_default());
        match action {
            PeerAction::Add => {
                let reason = entry.metadata.map(|metadata| metadata.detail);
                world
                    .reasons
                    .insert(key.0.clone(), reason.unwrap_or_default());
                let end = unix_seconds() + entry.ttl.unwrap();
                let old = world.claims.insert(key, end);
                *if old.is_none() {
                    &mut outcome.added
                } else {
                    &mut outcome.updated
                } += 1;
            }
            PeerAction::Remove => {
                let old = world.claims.remove(&key);
                *if old.is_some() {
                    &mut outcome.removed
                } else {
                    &mut outcome.unchanged
                } += 1;
            }
        }
    }
    outcome
}
