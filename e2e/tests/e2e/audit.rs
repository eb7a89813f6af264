//! The audit log, and reload at run time, by a real daemon in its sandbox.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::{fs, path::PathBuf, time::Duration};

use couic_common::{AuditEntry, HealthStatus, Policy};
use couic_e2e::{Daemon, Lab, until};
use nix::sys::signal::Signal;
use serde_json::json;

/// Generous: a debug build takes seconds to start on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// The entries that `couicctl log` finds, once there is one.
fn found(daemon: &Daemon<'_>, args: &[&str]) -> Vec<AuditEntry> {
    let args = [&["--json", "log"][..], args].concat();
    until("the log has it", SOON, || {
        let all: Vec<AuditEntry> = serde_json::from_str(&daemon.ctl_ok(&args)).unwrap();
        (!all.is_empty()).then_some(all)
    })
    .0
}

/// A request that the log has a warning of.
fn refused(daemon: &Daemon<'_>) {
    let stranger = daemon.api_as("550e8400-e29b-41d4-a716-446655440000");
    let _ = stranger.request("POST", "/v1/drop", Some("{}")).expect(401);
}

fn config(daemon: &Daemon<'_>) -> PathBuf {
    daemon.working_dir().parent().unwrap().join("couic.toml")
}

#[test]
fn who_changed_what_from_where_and_why() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let api = daemon.api();
    daemon.ctl_ok(&["drop", "add", "192.0.2.7", "-t", "ssh", "-e", "1h"]);
    let added = found(&daemon, &["--address", "192.0.2.7"]);
    let first = &added[0];
    assert_eq!((first.action.as_str(), added.len()), ("added", 1));
    assert!(first.request.is_some(), "{first:?}");
    assert!(
        first
            .from
            .as_ref()
            .unwrap()
            .starts_with("uid 0 (root), pid "),
        "{first:?}"
    );
    let text = daemon.ctl_ok(&["log", "--tag", "ssh"]);
    assert!(
        text.contains("Z  client couicctl added drop 192.0.2.7/32 (tag ssh) for "),
        "{text}"
    );

    let with_id = api.with("X-Request-Id: ticket-4711\r\nX-Forwarded-For: 203.0.113.9\r\n");
    let body = json!({"cidr": "192.0.2.8/32", "expiration": 0,
        "metadata": {"kind": "manual", "detail": "said \"no\""}});
    let answer = with_id
        .request("POST", "/v1/drop", Some(&body.to_string()))
        .expect(201);
    assert_eq!(answer.header("x-request-id"), Some("ticket-4711"));
    let one = &found(&daemon, &["--address", "192.0.2.8"])[0];
    assert_eq!(one.request.as_deref(), Some("ticket-4711"));
    assert_eq!(one.reason.as_deref(), Some("said \"no\""));
    assert!(
        one.from
            .as_ref()
            .unwrap()
            .starts_with("203.0.113.9 via uid 0 (root), pid ")
    );
    // The main log has a line for each request.
    for line in [
        "client couicctl added drop 192.0.2.8/32",
        "request ticket-4711",
    ] {
        until("the main log has the request", SOON, || {
            daemon.log().contains(line).then_some(())
        });
    }
}

#[test]
fn reloads_panic_refusals_and_the_start_have_entries() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    daemon.set_file(Policy::Drop, "list", "198.51.100.0/24\n198.51.101.0/24\n");
    daemon.ctl_ok(&["sets", "reload"]);
    let reload = &found(&daemon, &["--action", "sets_reloaded"])[0];
    assert_eq!(
        reload.describe(),
        "client couicctl: sets reloaded: 2 added, 0 removed, 2 in all"
    );
    let of_set = found(&daemon, &["--actor", "list"]);
    assert_eq!(of_set.len(), 2);
    assert!(
        of_set
            .iter()
            .all(|entry| entry.request == reload.request && entry.from.is_some())
    );

    daemon.ctl_ok(&["panic", "on", "--reason", "a test"]);
    let panic = &found(&daemon, &["--action", "panic_on"])[0];
    assert_eq!(panic.reason.as_deref(), Some("a test"));
    daemon.ctl_ok(&["panic", "off"]);

    let stranger = daemon.api_as("550e8400-e29b-41d4-a716-446655440000");
    let answer = stranger.request("POST", "/v1/drop", Some("{}")).expect(401);
    let refused = &found(&daemon, &["--action", "refused"])[0];
    assert_eq!(refused.request.as_deref(), answer.header("x-request-id"));
    assert!(
        refused
            .describe()
            .starts_with("unknown: refused POST /v1/drop: "),
        "{refused:?}"
    );
    assert!(
        !format!("{refused:?}").contains("550e8400"),
        "no token in the log"
    );
    assert_eq!(found(&daemon, &["--action", "started"]).len(), 1);
    assert_eq!(found(&daemon, &["--action", "attached"]).len(), 1);

    // Rules are in the audit log only.
    let log = daemon.log();
    assert!(!log.contains("198.51.100.0/24"), "{log}");
}

/// Whether the log has lines of level debug.
fn is_debug(daemon: &Daemon<'_>) -> bool {
    let before = daemon.log().matches("request refused").count();
    let _ = daemon.api().request("GET", "/nowhere", None).expect(404);
    // A line that comes at any level, after the one in question.
    let later = daemon.log().matches("refused POST").count();
    refused(daemon);
    until("a later line", SOON, || {
        (daemon.log().matches("refused POST").count() > later).then_some(())
    });
    daemon.log().matches("request refused").count() > before
}

/// Has the configuration read again, for the `count`-th time.
fn reload(daemon: &Daemon<'_>, count: usize) {
    daemon.signal(Signal::SIGHUP);
    until("a reload is over", SOON, || {
        let log = daemon.log();
        let done = log.matches("onfiguration reloaded").count();
        (done + log.matches("NOT reloaded").count() >= count).then_some(())
    });
}

#[test]
fn a_reload_applies_what_it_can_and_a_broken_file_changes_nothing() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let (api, path) = (daemon.api(), config(&daemon));
    let well = api.health().1.status;
    let good = fs::read_to_string(&path).unwrap();
    assert!(!is_debug(&daemon));

    // Replaced by renaming, as editors do.
    let replace = |text: &str| {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
    };
    replace(&good.replace("[logging]\n", "[logging]\nlevel = \"debug\"\n"));
    daemon.set_file(Policy::Drop, "list", "198.51.100.0/24\n");
    reload(&daemon, 1);
    assert!(is_debug(&daemon));
    let _ = api
        .request("GET", "/v1/drop/198.51.100.0/24", None)
        .expect(200);

    replace("ifaces = 7\nno_such_key = 1\n");
    daemon.set_file(Policy::Drop, "list", "198.51.101.0/24\n");
    reload(&daemon, 2);
    assert!(is_debug(&daemon), "the level before stays");
    let _ = api
        .request("GET", "/v1/drop/198.51.101.0/24", None)
        .expect(404);
    let (_, health) = api.health();
    assert_eq!(health.status, HealthStatus::Degraded);
    let told = health.config_problem.as_deref().unwrap_or_default();
    assert!(
        told.contains("ifaces") && told.contains("no_such_key"),
        "{told}"
    );
    let failed = &found(&daemon, &["--action", "reload_failed"])[0];
    assert!(
        failed
            .describe()
            .starts_with("daemon: the configuration is NOT reloaded")
    );

    replace(&good.replace("max_log_files = 1", "max_log_files = 2"));
    reload(&daemon, 3);
    let (_, health) = api.health();
    assert_eq!(health.status, well, "{health:?}");
    let note = health
        .notes
        .iter()
        .find(|note| note.contains("next restart"));
    assert!(
        note.unwrap().ends_with(": logging.max_log_files"),
        "{note:?}"
    );
    assert!(!is_debug(&daemon));
}

/// As systemd starts it: `JOURNAL_STREAM` names what standard output is.
#[test]
fn lines_for_the_journal_have_their_priority_and_those_of_the_file_have_none() {
    let Some(lab) = Lab::quiet() else { return };
    let script = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/1) exec \"$@\"";
    let daemon = lab
        .daemon()
        .wrapped(&["/bin/sh", "-ec", script, "sh"], &[])
        .start();
    refused(&daemon);
    daemon.ctl_ok(&["drop", "add", "192.0.2.7"]);
    let (output, _) = until("the lines are there", SOON, || {
        let output = daemon.output();
        let there = output.contains("refused POST") && output.contains("added drop 192.0.2.7/32");
        there.then_some(output)
    });
    for line in output.lines() {
        let expected = if line.contains(" ERROR ") {
            "<3>"
        } else if line.contains("  WARN ") {
            "<4>"
        } else {
            "<6>"
        };
        assert!(line.starts_with(expected), "{line}");
    }
    assert!(output.contains("\n<4>"), "a refusal is a warning: {output}");
    let log = daemon.log();
    assert!(log.lines().all(|line| line.starts_with("20")), "{log}");
}
