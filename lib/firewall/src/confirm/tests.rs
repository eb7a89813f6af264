//! Over the plain data plane, a clock that is turned by hand, and files.

mod claims;
mod oracle;
mod restart;
mod sets;
mod upgrade;

use std::sync::Arc;

use couic_common::{Cidr, ClientName, ConfirmId, Policy, RuleKey, Tag};

use super::*;
use crate::{
    dataplane::{Limits, MemoryPlane},
    rules::{Actor, Claim, ClaimRequest, ClaimScope, ClaimSwap, Job, ManualClock, Origin, Owner},
};

/// Longer than any test runs: only the clock that is turned by hand ends it.
const WITHIN: u64 = 3_600;

struct Lab {
    dir: tempfile::TempDir,
    plane: MemoryPlane,
    clock: Arc<ManualClock>,
    firewall: Arc<Firewall>,
    sets: Arc<SetStore>,
    all: Arc<Confirmations>,
}

impl Lab {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plane = MemoryPlane::default();
        let clock = Arc::new(ManualClock::new(1_000));
        let firewall = Arc::new(Firewall::new(
            Box::new(plane.clone()),
            Arc::new(plane.clone()),
            limits,
            Arc::<ManualClock>::clone(&clock),
        ));
        let sets = Arc::new(SetStore::open(dir.path()).unwrap());
        let all = open(&dir, &firewall, &sets);
        Self {
            dir,
            plane,
            clock,
            firewall,
            sets,
            all,
        }
    }

    /// The daemon starts again; the rules are those that it had.
    fn restart(&mut self) {
        self.all = open(&self.dir, &self.firewall, &self.sets);
    }

    /// A change that waits to be confirmed.
    fn change(&self, job: Job) -> Option<ConfirmId> {
        self.changes(vec![job])
    }

    fn changes(&self, jobs: Vec<Job>) -> Option<ConfirmId> {
        self.changes_by(&Actor::Client(ops()), jobs)
    }

    fn changes_by(&self, actor: &Actor, jobs: Vec<Job>) -> Option<ConfirmId> {
        let mut change = self.begin();
        let results = change.apply(Policy::Drop, jobs, actor);
        assert!(results.is_ok(), "{results:?}");
        change.finish().map(|ticket| ticket.id)
    }

    fn begin(&self) -> ConfirmableChange {
        self.all.begin(&ops(), WITHIN, "a test".to_owned()).unwrap()
    }

    fn apply(&self, change: &mut ConfirmableChange, jobs: Vec<Job>) {
        let results = change.apply(Policy::Drop, jobs, &Actor::Client(ops()));
        assert!(results.is_ok(), "{results:?}");
    }

    /// A permanent change by `actor`.
    fn plainly(&self, actor: &Actor, job: Job) {
        let results = self.firewall.apply(Policy::Drop, vec![job], actor);
        assert!(results[0].is_ok(), "{results:?}");
    }

    /// The claims of the API and of peers.
    fn claims(&self, cidr: &str) -> Vec<Claim> {
        let key = RuleKey::new(Policy::Drop, cidr.parse().unwrap());
        self.firewall.claims(key).0
    }

    fn expiration(&self, cidr: &str) -> Option<u64> {
        let entry = self
            .firewall
            .entry(RuleKey::new(Policy::Drop, cidr.parse().unwrap()));
        entry.map(|entry| entry.expiration)
    }

    fn records(&self) -> usize {
        fs::read_dir(self.dir.path().join(DIR)).unwrap().count()
    }
}

fn open(
    dir: &tempfile::TempDir,
    firewall: &Arc<Firewall>,
    sets: &Arc<SetStore>,
) -> Arc<Confirmations> {
    let all = Confirmations::open(dir.path(), Arc::clone(firewall), Arc::clone(sets));
    Arc::new(all.unwrap())
}

fn ops() -> ClientName {
    "ops".parse().unwrap()
}

fn add(cidr: &str, expiration: u64) -> Job {
    tagged(cidr, expiration, "")
}

fn tagged(cidr: &str, expiration: u64, tag: &str) -> Job {
    let rule = ClaimRequest {
        cidr: cidr.parse::<Cidr>().unwrap(),
        tag: Tag::parse(tag).unwrap(),
        expiration,
    };
    Job::Add(rule, None)
}

fn with_reason(job: Job, why: &str) -> Job {
    let Job::Add(rule, _) = job else {
        return job;
    };
    let metadata = couic_common::Metadata {
        kind: "test".to_owned(),
        detail: why.to_owned(),
        extra: None,
    };
    Job::Add(rule, Some(Arc::new(metadata)))
}

fn remove(cidr: &str) -> Job {
    Job::Remove(cidr.parse().unwrap(), ClaimScope::OWN, None)
}
