//! The consumer between a LAPI and a daemon that both fail.

use std::{
    fs,
    sync::Arc,
    thread::{self, JoinHandle},
};

use couic_inject::Injector;
use couic_testkit::{LONG, Reply, until};
use tokio::{runtime::Builder, sync::watch};

use super::{daemon::Daemon, lapi::Lapi};
use crate::{Config, Consumer, CrowdSecError, Status};

/// A consumer in a thread of its own; dropped, it ends as if it were killed.
struct Running {
    consumer: Arc<Consumer>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn new(config: Config, injector: Arc<Injector>) -> Self {
        // Past the check, which wants intervals of seconds.
        let consumer = Arc::new(Consumer::unchecked(config, injector));
        let (stop, stopped) = watch::channel(false);
        let run = Arc::clone(&consumer).run(stopped);
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run);
        });
        Self {
            consumer,
            stop,
            thread: Some(thread),
        }
    }

    fn between(lapi: &Lapi, daemon: &Daemon) -> Self {
        Self::new(lapi.config(), daemon.injector())
    }

    fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let status = || Some(self.consumer.status()).filter(&wanted);
        until(what, LONG, status).0
    }

    /// Waits for two pulls, the second of which has begun later than now.
    fn pulled(&self) -> Status {
        let pulls = self.consumer.status().pulls;
        self.until("two pulls", |status| status.pulls >= pulls + 2)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

fn await_claims(daemon: &Daemon, expected: &[&str]) {
    until("the claims are right", LONG, || {
        (daemon.claims() == expected).then_some(())
    });
}

#[test]
fn decisions_become_claims_and_end_with_them() {
    let (lapi, daemon) = (Lapi::new(), Daemon::new());
    lapi.add("CAPI", "192.0.2.1");
    lapi.add("cscli", "198.51.100.0/24");
    let running = Running::between(&lapi, &daemon);
    await_claims(
        &daemon,
        &["192.0.2.1/32 cs-CAPI", "198.51.100.0/24 cs-cscli"],
    );
    lapi.add("crowdsec", "192.0.2.1");
    lapi.add("crowdsec", "2001:db8::1");
    await_claims(
        &daemon,
        &[
            "192.0.2.1/32 cs-CAPI",
            "192.0.2.1/32 cs-crowdsec",
            "198.51.100.0/24 cs-cscli",
            "2001:db8::1/128 cs-crowdsec",
        ],
    );
    let world = daemon.world.lock();
    let end = world.claims[&("192.0.2.1/32".to_owned(), "cs-CAPI".to_owned())];
    let left = end - couic_common::unix_seconds();
    assert!((3_550..=3_621).contains(&left), "{left}");
    assert_eq!(world.reasons["192.0.2.1/32"], "a/b");
    drop(world);
    lapi.delete("192.0.2.1");
    await_claims(
        &daemon,
        &["198.51.100.0/24 cs-cscli", "2001:db8::1/128 cs-crowdsec"],
    );
    let status = running.pulled();
    assert!(status.connected && status.problem.is_none());
    assert_eq!(
        (status.added, status.removed, status.full_compares),
        (4, 2, 1)
    );
    assert_eq!((status.decisions, status.claims, status.waiting), (2, 2, 0));
}

#[test]
fn a_lost_answer_loses_nothing_and_failures_flush_nothing() {
    let (lapi, daemon) = (Lapi::new(), Daemon::new());
    lapi.add("cscli", "192.0.2.1");
    lapi.add("cscli", "192.0.2.2");
    let running = Running::between(&lapi, &daemon);
    await_claims(&daemon, &["192.0.2.1/32 cs-cscli", "192.0.2.2/32 cs-cscli"]);
    for reply in [Reply::half_body(200), Reply::status(504)] {
        lapi.world.lock().new.clear();
        lapi.instead(reply);
        lapi.add("cscli", "192.0.2.3");
        lapi.delete("192.0.2.2");
        running.until("a failure", |status| {
            !status.connected && status.problem.is_some()
        });
        assert!(
            daemon
                .claims()
                .contains(&"192.0.2.1/32 cs-cscli".to_owned())
        );
        await_claims(&daemon, &["192.0.2.1/32 cs-cscli", "192.0.2.3/32 cs-cscli"]);
        running.until("it works again", |status| status.connected);
    }
    assert_eq!(running.consumer.status().failures, 2);
}

#[test]
fn what_happened_while_it_did_not_run_is_made_up_for() {
    let (lapi, daemon) = (Lapi::new(), Daemon::new());
    for n in 1..5 {
        lapi.add("cscli", &format!("192.0.2.{n}"));
    }
    let running = Running::between(&lapi, &daemon);
    until("four claims", LONG, || {
        (daemon.claims().len() == 4).then_some(())
    });
    drop(running);
    lapi.delete("192.0.2.1");
    // The answer that told it is lost with the process that pulled it.
    lapi.world.lock().deleted.clear();
    lapi.add("cscli", "192.0.2.9");
    daemon.put("203.0.113.1/32", "cs-CAPI");
    let jobs = daemon.world.lock().jobs;
    let _running = Running::between(&lapi, &daemon);
    await_claims(
        &daemon,
        &[
            "192.0.2.2/32 cs-cscli",
            "192.0.2.3/32 cs-cscli",
            "192.0.2.4/32 cs-cscli",
            "192.0.2.9/32 cs-cscli",
        ],
    );
    // Nothing but the difference was sent.
    assert_eq!(daemon.world.lock().jobs, [jobs[0] + 1, jobs[1] + 2]);
}

#[test]
fn a_lapi_that_is_suddenly_empty_opens_nothing() {
    let (lapi, daemon) = (Lapi::new(), Daemon::new());
    lapi.add("cscli", "192.0.2.1");
    lapi.add("cscli", "192.0.2.2");
    let mut config = lapi.config();
    config.full_every = std::time::Duration::ZERO;
    let running = Running::new(config, daemon.injector());
    await_claims(&daemon, &["192.0.2.1/32 cs-cscli", "192.0.2.2/32 cs-cscli"]);
    lapi.wipe();
    let status = running.until("it is told", |status| status.kept.is_some());
    assert!(
        status
            .kept
            .unwrap()
            .contains("couicctl drop delete --tag 'cs-*' --all-owners")
    );
    for _ in 0..5 {
        running.pulled();
    }
    assert_eq!(daemon.claims().len(), 2);
    assert_eq!(
        (
            running.consumer.status().claims,
            running.consumer.status().removed
        ),
        (2, 0)
    );
}

#[test]
fn what_the_daemon_refuses_is_told_and_not_sent_again() {
    let (lapi, daemon) = (Lapi::new(), Daemon::new());
    daemon.refuse("192.0.2.1/32");
    lapi.add("cscli", "192.0.2.1");
    lapi.add("cscli", "192.0.2.2");
    let mut config = lapi.config();
    config.full_every = std::time::Duration::ZERO;
    let running = Running::new(config, daemon.injector());
    let status = running.until("a refusal", |status| !status.refused.is_empty());
    assert_eq!(status.refused["host"], 1);
    assert_eq!(
        status.refusal.as_deref(),
        Some("192.0.2.1/32: it is this host")
    );
    let compares = running.consumer.status().full_compares;
    running.until("compares", |status| status.full_compares > compares + 5);
    assert_eq!(daemon.world.lock().jobs, [2, 0]);
    assert_eq!(daemon.claims(), ["192.0.2.2/32 cs-cscli"]);
}

#[test]
fn a_daemon_that_is_away_gets_everything_when_it_comes_and_its_leftovers_go() {
    let (lapi, daemon) = (Lapi::new(), Daemon::new());
    for n in 0..200 {
        lapi.add("cscli", &format!("10.0.{n}.1"));
    }
    daemon.put("203.0.113.1/32", "cs-CAPI");
    daemon.put("203.0.113.2/32", "other");
    daemon.go();
    let running = Running::between(&lapi, &daemon);
    let status = running.until("it is told", |status| status.daemon_problem.is_some());
    assert_eq!(status.decisions, 200);
    daemon.come();
    until("all are there", LONG, || {
        (daemon.claims().len() == 201).then_some(())
    });
    let status = running.until("the list is read", |status| status.daemon_problem.is_none());
    assert_eq!(status.claims, 200);
    assert!(daemon.claims().contains(&"203.0.113.2/32 other".to_owned()));
}

#[test]
fn a_new_key_is_taken_without_a_restart() {
    let (lapi, daemon) = (Lapi::new(), Daemon::new());
    lapi.add("cscli", "192.0.2.1");
    let running = Running::between(&lapi, &daemon);
    await_claims(&daemon, &["192.0.2.1/32 cs-cscli"]);
    lapi.world.lock().key = "new".to_owned();
    let status = running.until("the key is refused", |status| status.problem.is_some());
    assert!(status.problem.unwrap().contains("refuses the key"));
    fs::write(lapi.stand_in.dir.path().join("key"), "new").unwrap();
    running.until("the key is taken", |status| status.connected);
    assert_eq!(daemon.claims().len(), 1);
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused_with_every_mistake() {
    let daemon = Daemon::new();
    let config = Config {
        ipv6_prefix: 65,
        ..Config::default()
    };
    let error = Consumer::new(config, daemon.injector()).unwrap_err();
    assert!(matches!(&error, CrowdSecError::Config(mistakes) if mistakes.len() == 2));
    assert!(
        error.to_string().contains("`key_file` is missing"),
        "{error}"
    );
}

#[test]
fn what_the_daemon_ignores_is_banned_at_no_start() {
    let (lapi, daemon) = (Lapi::new(), Daemon::new());
    let line = r#"{"creation":1,"cidr":"192.0.2.0/24","expiration":0}"#;
    daemon.world.lock().ignored = Some(Reply::text(
        200,
        "application/x-ndjson",
        format!("{line}\n"),
    ));
    for address in ["192.0.2.7", "198.51.100.7"] {
        lapi.add("cscli", address);
    }
    // Away at the start, as after a boot.
    daemon.go();
    let running = Running::between(&lapi, &daemon);
    running.until("a pull", |status| status.pulls > 0);
    daemon.come();
    let status = running.until("the ban", |status| status.added > 0 && status.waiting == 0);
    assert_eq!((status.added, status.ignored), (1, 1));
    let is_banned = || (!daemon.world.lock().banned.is_empty()).then_some(());
    until("the ban arrives", LONG, is_banned);
    assert_eq!(daemon.world.lock().banned, ["198.51.100.7/32"]);
}

#[test]
fn a_daemon_that_refuses_to_tell_what_it_ignores_gets_the_bans() {
    let (lapi, daemon) = (Lapi::new(), Daemon::new());
    daemon.world.lock().ignored = Some(Reply::json(403, "{}"));
    lapi.add("cscli", "192.0.2.7");
    let running = Running::between(&lapi, &daemon);
    running.until("the ban", |status| status.added == 1);
}
