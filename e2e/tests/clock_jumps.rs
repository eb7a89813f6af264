//! A wall clock that jumps a day forward or back: the daemon's components, assembled as in the daemon, over the shipped
//! XDP program, with verdicts from BPF_PROG_TEST_RUN. The clock is a manual one: the machine's cannot be set for a
//! single process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a failure ends the test"
)]

mod dataplane_common;

use std::{path::Path, sync::Arc};

use couic_common::{ClientName, Policy};
use couic_firewall::{
    confirm::Confirmations,
    dataplane::{Limits, XdpProgram, load_tables},
    journal::Journal,
    rules::{Actor, ClaimRequest, Firewall, Job, ManualClock, Restored, SetStore},
};
use couic_testkit::{LONG, until};
use dataplane_common::{TestRun, XDP_DROP, XDP_PASS, frame, may_run};

const DAY: u64 = 86_400;
const NOW: u64 = 1_800_000_000;

/// A daemon's rules and state, from its start on.
struct Life {
    clock: Arc<ManualClock>,
    firewall: Arc<Firewall>,
    confirmations: Arc<Confirmations>,
    restored: Restored,
    run: TestRun,
    _program: XdpProgram,
}

impl Life {
    /// A start in this working directory at the time `now`.
    fn start(dir: &Path, now: u64) -> Self {
        let limits = Limits {
            drop_entries: 1000,
            ignore_entries: 100,
        };
        let (plane, counters, mut program) = load_tables(limits, false).unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let firewall = Firewall::new(
            Box::new(plane),
            Arc::new(counters),
            limits,
            Arc::<ManualClock>::clone(&clock),
        );
        let sets = Arc::new(SetStore::open(dir).unwrap());
        let (journal, recovered) = Journal::open(&dir.join("state")).unwrap();
        let restored = firewall.restore(Arc::new(journal), recovered);
        let firewall = Arc::new(firewall);
        let confirmations = Confirmations::open(dir, Arc::clone(&firewall), sets).unwrap();
        let life = Self {
            clock,
            firewall,
            confirmations: Arc::new(confirmations),
            restored,
            run: TestRun::of(&mut program),
            _program: program,
        };
        life.tick();
        life
    }

    /// The daemon's periodic work.
    fn tick(&self) {
        self.firewall.expire_due();
        self.firewall.heartbeat();
        self.confirmations.undo_due();
    }

    /// Sets the wall clock.
    fn set_clock(&self, now: u64) {
        self.clock.set(now);
        self.tick();
    }

    fn ban(&self, cidr: &str, until: u64) {
        let results = self
            .firewall
            .apply(Policy::Drop, vec![ban(cidr, until)], &ops());
        assert!(results[0].is_ok(), "{results:?}");
    }

    /// A ban that is undone unless confirmed within this many seconds.
    fn try_out(&self, cidr: &str, within: u64) {
        let client: ClientName = "ops".parse().unwrap();
        let mut change = self
            .confirmations
            .begin(&client, within, "a test".to_owned())
            .unwrap();
        let results = change.apply(Policy::Drop, vec![ban(cidr, 0)], &ops());
        assert!(results.unwrap()[0].is_ok());
        change.finish().expect("it waits to be confirmed");
    }

    /// The verdicts for frames from these sources.
    fn verdicts<const N: usize>(&self, sources: [&str; N]) -> [u32; N] {
        sources.map(|source| self.run.run(&frame(source.parse().unwrap(), &[], 26)))
    }
}

fn ops() -> Actor {
    Actor::Client("ops".parse().unwrap())
}

fn ban(cidr: &str, until: u64) -> Job {
    let rule = ClaimRequest {
        cidr: cidr.parse().unwrap(),
        tag: None,
        expiration: until,
    };
    Job::Add(rule, None)
}

const SOURCES: [&str; 3] = ["198.51.100.1", "198.51.100.2", "2001:db8::3"];

fn three_bans(life: &Life) {
    life.ban("198.51.100.1/32", 0);
    life.ban("198.51.100.2/32", NOW + 3_600);
    life.ban("2001:db8::/64", NOW + 2 * DAY);
    assert_eq!(life.verdicts(SOURCES), [XDP_DROP; 3]);
}

#[test]
fn only_expirations_follow_the_wall_clock_while_the_daemon_runs() {
    if !may_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(dir.path(), NOW);
    three_bans(&life);
    life.set_clock(NOW - DAY);
    assert_eq!(life.verdicts(SOURCES), [XDP_DROP; 3], "set back");
    life.set_clock(NOW + DAY);
    assert_eq!(
        life.verdicts(SOURCES),
        [XDP_DROP, XDP_PASS, XDP_DROP],
        "set forward"
    );
    life.set_clock(NOW);
    assert_eq!(
        life.verdicts(SOURCES),
        [XDP_DROP, XDP_PASS, XDP_DROP],
        "ended rules do not come back with the time"
    );
    life.ban("198.51.100.2/32", NOW + 60);
    life.set_clock(NOW + 59);
    assert_eq!(life.verdicts(SOURCES), [XDP_DROP; 3]);
    life.set_clock(NOW + 60);
    assert_eq!(life.verdicts(SOURCES), [XDP_DROP, XDP_PASS, XDP_DROP]);
}

#[test]
fn clock_jumps_between_two_starts_neither_lose_nor_revive_rules() {
    if !may_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(dir.path(), NOW);
    three_bans(&life);
    drop(life);
    let life = Life::start(dir.path(), NOW - DAY);
    assert_eq!((life.restored.rules, life.restored.expired), (3, 0));
    assert_eq!(life.verdicts(SOURCES), [XDP_DROP; 3], "set back");
    drop(life);
    let life = Life::start(dir.path(), NOW + DAY);
    assert_eq!((life.restored.rules, life.restored.expired), (2, 1));
    assert_eq!(
        life.verdicts(SOURCES),
        [XDP_DROP, XDP_PASS, XDP_DROP],
        "set forward"
    );
    drop(life);
    let life = Life::start(dir.path(), NOW);
    assert_eq!((life.restored.rules, life.restored.expired), (2, 0));
    assert_eq!(life.verdicts(SOURCES), [XDP_DROP, XDP_PASS, XDP_DROP]);
}

/// Waits for the undo, by the monotonic clock.
fn undone(life: &Life) {
    until("it is undone", LONG, || {
        life.tick();
        (life.verdicts(["198.51.100.1"]) != [XDP_DROP]).then_some(())
    });
}

#[test]
fn pending_changes_are_undone_in_time_despite_clock_jumps() {
    if !may_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(dir.path(), NOW);
    life.try_out("198.51.100.1/32", 1);
    life.set_clock(NOW - DAY);
    undone(&life);

    life.set_clock(NOW);
    life.try_out("198.51.100.1/32", DAY / 2);
    assert_eq!(life.verdicts(["198.51.100.1"]), [XDP_DROP]);
    life.set_clock(NOW + DAY);
    assert_eq!(life.verdicts(["198.51.100.1"]), [XDP_PASS], "set forward");

    // After a restart with the clock set back, the wait is no longer than requested.
    life.try_out("198.51.100.1/32", 1);
    drop(life);
    let life = Life::start(dir.path(), NOW);
    undone(&life);
}
