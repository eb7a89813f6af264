//! The guard rails: requests of couicctl, and its output when the daemon rejects them.

use std::process::Command;

use couic_common::FORCE_HINT;
use couic_testkit::StandIn;
use serde_json::{Value, json};

use crate::{command, config, couicctl, run};

const ENTRY: &str = r#"{"creation":7,"cidr":"192.0.2.0/24","tag":null,"expiration":0}"#;
const BATCH: &str = r#"{"added":1,"updated":0,"unchanged":0,"removed":0,"failed":0,"failures":[]}"#;

fn protects(body: &Value, address: &str) -> bool {
    let list = body["guard"]["protect"].as_array().unwrap();
    list.iter().any(|a| a == address)
}

#[test]
fn every_drop_requests_them() {
    let daemon = StandIn::always(201, ENTRY);
    couicctl(&daemon, &["drop", "add", "192.0.2.0/24"]).done();
    let body = daemon.requests()[0].json();
    assert!(body["guard"]["protect"].is_array(), "{body}");
    assert_eq!(body.get("force"), None);
}

#[test]
fn the_ssh_session_is_protected() {
    for (name, value) in [
        ("SSH_CONNECTION", "203.0.113.9 50000 10.0.0.1 22"),
        ("SSH_CLIENT", "203.0.113.9 50000 22"),
    ] {
        let daemon = StandIn::always(201, ENTRY);
        let mut command = command(&config(&daemon), &["drop", "add", "192.0.2.0/24"]);
        command.env(name, value);
        run(command, "").done();
        assert!(
            protects(&daemon.requests()[0].json(), "203.0.113.9"),
            "{name}"
        );
    }
}

#[test]
fn the_ssh_session_is_protected_behind_sudo() {
    let daemon = StandIn::always(201, ENTRY);
    let config = config(&daemon);
    // As sudo does: a parent with the session in its environment starts a child with a clean one.
    let script = r#"env -i "$0" -c "$1" drop add 192.0.2.0/24; exit $?"#;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, env!("CARGO_BIN_EXE_couicctl")])
        .arg(&config)
        .env("SSH_CONNECTION", "2001:db8::9 50000 2001:db8::1 22");
    run(shell, "").done();
    assert!(protects(&daemon.requests()[0].json(), "2001:db8::9"));
}

#[test]
fn import_requests_them_in_every_job() {
    let daemon = StandIn::always(200, BATCH);
    let mut command = command(&config(&daemon), &["drop", "import", "-", "--force"]);
    command.env("SSH_CLIENT", "203.0.113.9 50000 22");
    run(command, "192.0.2.0/24\n198.51.100.0/24\n").done();
    let lines = String::from_utf8(daemon.only().body).unwrap();
    assert_eq!(lines.lines().count(), 2);
    for line in lines.lines() {
        let job: Value = serde_json::from_str(line).unwrap();
        assert!(protects(&job["entry"], "203.0.113.9"), "{job}");
        assert_eq!(job["entry"]["force"], json!(true));
    }
}

#[test]
fn force_is_sent() {
    let daemon = StandIn::always(201, ENTRY);
    couicctl(&daemon, &["drop", "add", "0.0.0.0/0", "--force"]).done();
    assert_eq!(daemon.requests()[0].json()["force"], json!(true));
}

#[test]
fn a_refusal_shows_the_daemons_reason_the_option_and_what_was_typed() {
    let message = format!("drop 0.0.0.0/4 is refused: it is large. If you mean it, {FORCE_HINT}");
    let detail = json!({"code": "processing", "message": message});
    let body = json!({"code": "processing", "message": message, "errors": {"cidr": detail}});
    let daemon = StandIn::always(422, &body.to_string());
    let error = couicctl(&daemon, &["drop", "add", "10.0.0.0/4"]).failed(1);
    assert_eq!(
        error,
        "error: drop 0.0.0.0/4 is refused: it is large. If you mean it, use --force\n  \
         10.0.0.0/4 is the network 0.0.0.0/4\n"
    );
    let error = couicctl(&daemon, &["drop", "add", "0.0.0.0/4"]).failed(1);
    assert!(error.ends_with("use --force\n"), "{error}");
}

#[test]
fn some_guard_rails_are_lifted_by_name() {
    let daemon = StandIn::always(201, ENTRY);
    let args = ["drop", "add", "192.0.2.0/24", "--force=host,width"];
    couicctl(&daemon, &args).done();
    let body = daemon.requests()[0].json();
    assert_eq!(body["guard"]["lift"], json!(["host", "width"]));
    assert_eq!(body.get("force"), None);
    let wrong = couicctl(&daemon, &["drop", "add", "192.0.2.0/24", "--force=hosts"]).failed(2);
    assert!(wrong.contains("there are caller, host"), "{wrong}");
}

#[test]
fn deletions_of_protection_ask_for_them() {
    let daemon = StandIn::always(204, "");
    let mut command = command(
        &config(&daemon),
        &["ignore", "delete", "192.0.2.7", "--force"],
    );
    command.env("SSH_CLIENT", "203.0.113.9 50000 22");
    run(command, "").done();
    let line = daemon.requests()[0].line().to_owned();
    assert!(
        line.starts_with("DELETE /v1/ignore/192.0.2.7/32?guard="),
        "{line}"
    );
    assert!(
        line.contains("203.0.113.9") && line.ends_with("&force=true"),
        "{line}"
    );
}

#[test]
fn a_reload_names_the_entries_that_are_not_in_force_and_fails() {
    let answer = json!({
        "reload_status": "OK",
        "refused": [{"policy": "drop", "file": "feed.couic", "cidr": "128.0.0.0/2", "rail": "width", "message": "it is large"}],
        "notes": ["sets/drop/feed.couic does not end with a line end"],
    });
    let daemon = StandIn::always(201, &answer.to_string());
    let run = couicctl(&daemon, &["sets", "reload"]);
    assert_eq!(run.code, 1);
    let error = run.err;
    assert!(error.contains("does not end with a line end"), "{error}");
    assert!(
        error.contains("1 entry is NOT in force, all others are:\n  sets/drop/feed.couic: 128.0.0.0/2: guard rail width: it is large\n"),
        "{error}"
    );
}
