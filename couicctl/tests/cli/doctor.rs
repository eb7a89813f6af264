//! `doctor`.

use std::fs;

use couic_common::unix_seconds;
use couic_testkit::{Reply, StandIn};
use serde_json::Value;

use crate::{TOKEN, bare, command, config, run};

fn health() -> String {
    format!(
        r#"{{"status":"ok","version":"{}","interfaces":[{{"name":"lo","attached":true,"mode":"generic","problem":null}}],"set_problems":[]}}"#,
        env!("CARGO_PKG_VERSION")
    )
}

fn status() -> String {
    format!(
        r#"{{"version":"2","now_ms":{}000,"uptime":5,"kernel":"6.18","clock_synchronised":true,"clock_jumped_ms":0,
        "disks":[{{"holds":"working_dir","path":"/w","free_bytes":1,"total_bytes":2,"free_inodes":0,"total_inodes":0,"read_only":false}}],
        "open_files":20,"open_files_limit":1024,"systemd":false,"pending_confirmations":1}}"#,
        unix_seconds()
    )
}

fn answer(line: &str) -> Reply {
    match line {
        "GET /v1/health" => Reply::json(200, health()),
        "GET /v1/status" => Reply::json(200, status()),
        "GET /v1/peers" | "GET /v1/notifiers" => Reply::json(200, "[]"),
        other => panic!("{other}"),
    }
}

fn state<'c>(checks: &'c Value, name: &str) -> &'c str {
    let mut all = checks.as_array().unwrap().iter();
    let found = all.find(|check| check["check"] == name);
    found.map_or("missing", |check| check["state"].as_str().unwrap())
}

#[test]
fn a_local_daemon_and_its_files() {
    let daemon = StandIn::unix(|seen| answer(seen.line()));
    let path = config(&daemon);
    let toml = daemon.dir.path().join("couic.toml");
    fs::write(
        &toml,
        format!(
            "ifaces = [\"lo\", \"no-such-iface\"]\nworking_dir = {:?}\n",
            daemon.dir.path()
        ),
    )
    .unwrap();
    let toml = toml.to_str().unwrap();
    let done = run(
        command(&path, &["doctor", "--daemon-config", toml, "--json"]),
        "",
    );
    assert_eq!((done.code, done.err.as_str()), (1, ""), "{done:?}");
    let checks: Value = serde_json::from_str(&done.out).unwrap();
    for (name, expected) in [
        ("config", "ok"),
        ("daemon", "ok"),
        ("filter", "ok"),
        ("panic", "off"),
        ("interface lo", "warn"),
        ("interface no-such-iface", "fail"),
        ("disk working_dir", "fail"),
        ("clock", "ok"),
        ("confirm", "warn"),
        ("peers", "ok"),
        ("notifiers", "ok"),
    ] {
        let expected = if expected == "off" { "ok" } else { expected };
        assert_eq!(state(&checks, name), expected, "{name}: {checks:#}");
    }
    assert_ne!(state(&checks, "kernel"), "missing");
    let text = run(command(&path, &["doctor", "--daemon-config", toml]), "");
    assert_eq!(text.code, 1);
    assert!(text.out.contains("fail  disk working_dir"), "{}", text.out);
    assert!(
        !text.out.contains('\u{1b}'),
        "no colours without a terminal"
    );
    assert!(text.out.trim_end().ends_with("checks."), "{}", text.out);
}

#[test]
fn a_remote_daemon_is_checked_without_the_local_host() {
    let daemon = StandIn::tcp(|seen| match seen.line() {
        "GET /v1/status" => {
            Reply::json(401, r#"{"code":"unauthorized","message":"no","errors":{}}"#)
        }
        line => answer(line),
    });
    let path = daemon.dir.path().join("remote.toml");
    let port = daemon.address.unwrap().port();
    fs::write(&path, format!("mode = \"remote\"\ntls = false\nhost = \"127.0.0.1\"\nport = {port}\ntoken = \"{TOKEN}\"\n")).unwrap();
    let done = run(command(&path, &["doctor", "--json"]), "");
    assert_eq!(done.code, 0, "{done:?}");
    let checks: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(
        (state(&checks, "daemon"), state(&checks, "status")),
        ("ok", "skip")
    );
    for local in ["kernel", "config", "token", "interface lo"] {
        assert_eq!(state(&checks, local), "missing", "{checks:#}");
    }
}

#[test]
fn checks_work_without_a_daemon_or_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("couicctl.toml");
    let socket = dir.path().join("none.sock");
    fs::write(
        &path,
        format!("mode = \"local\"\nsocket = {socket:?}\nclient_file = \"/no/such/token\"\n"),
    )
    .unwrap();
    let nowhere = dir.path().join("couic.toml");
    let args = [
        "doctor",
        "--json",
        "--daemon-config",
        nowhere.to_str().unwrap(),
    ];
    let done = run(command(&path, &args), "");
    assert_eq!(done.code, 1);
    let checks: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(
        (state(&checks, "daemon"), state(&checks, "token")),
        ("fail", "fail")
    );
    assert_eq!(state(&checks, "config"), "warn");
    for text in checks.as_array().unwrap().iter().flat_map(|check| {
        let texts = [&check["found"], &check["advice"]];
        texts.into_iter().filter_map(Value::as_str)
    }) {
        assert!(!text.contains('\n') && !text.contains("  "), "{text:?}");
    }
    fs::write(&path, "nonsense").unwrap();
    let mut doctor = bare();
    doctor.arg("-c").arg(&path).arg("doctor");
    let done = run(doctor, "");
    assert_eq!(done.code, 1);
    assert!(done.out.starts_with("fail  couicctl"), "{}", done.out);
}
