//! A machine whose clock is set a day forward or back: the daemon's parts, put together as the daemon does, over the
//! shipped XDP program, whose verdicts are asked for through BPF_PROG_TEST_RUN. The clock is one that is turned by hand:
//! that of a machine cannot be set for one process, and is nobody's to set.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test stops where something fails"
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

/// A daemon's rules and what belongs to them, from a start on.
struct Life {
    clock: Arc<ManualClock>,
    firewall: Arc<Firewall>,
    confirmations: Arc<Confirmations>,
    restored: Restored,
    run: TestRun,
    _program: XdpProgram,
}

impl Life {
    /// A start in this working directory, when the clock shows this.
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

    /// What the daemon does over and over, each second and more often.
    fn tick(&self) {
        self.firewall.expire_due();
        self.firewall.heartbeat();
        self.confirmations.undo_due();
    }

    /// Somebody sets the clock.
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

    /// A ban that is undone unless it is confirmed within so many seconds.
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

    /// The verdicts about frames from these.
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
fn while_it_runs_expirations_follow_the_clock_and_nothing_else_moves() {
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
        "what has ended does not come back with the time"
    );
    life.ban("198.51.100.2/32", NOW + 60);
    life.set_clock(NOW + 59);
    assert_eq!(life.verdicts(SOURCES), [XDP_DROP; 3]);
    life.set_clock(NOW + 60);
    assert_eq!(life.verdicts(SOURCES), [XDP_DROP, XDP_PASS, XDP_DROP]);
}

#[test]
fn between_two_lives_too_and_no_rule_is_lost_or_raised_from_the_dead() {
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

/// Waits, by the clock that does not jump.
fn undone(life: &Life) {
    until("it is undone", LONG, || {
        life.tick();
        (life.verdicts(["198.51.100.1"]) != [XDP_DROP]).then_some(())
    });
}

#[test]
fn a_change_to_be_confirmed_is_undone_in_time_whatever_the_clock_shows() {
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

    // A restart with a clock that was set back waits for no longer than was asked for.
    life.try_out("198.51.100.1/32", 1);
    drop(life);
    let life = Life::start(dir.path(), NOW);
    undone(&life);
}
