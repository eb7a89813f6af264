//! `export`, `diff` and `apply`: what programs read of it, and what is said when the daemon fails on the way.

use std::{fs, path::PathBuf};

use couic_testkit::{Reply, StandIn};
use serde_json::{Value, json};

use crate::{command, config, couicctl, run};

const CLIENTS: &str =
    r#"[{"name":"couicctl","group":"admin","own":true},{"name":"ci","group":"clientro"}]"#;
const ENTRIES: &str = r#"[{"creation":1,"cidr":"192.0.2.1/32","tag":"a","expiration":0,"owners":[
    {"kind":"client","name":"couicctl","tag":"a","expiration":0,"reason":"old"},
    {"kind":"client","name":"fail2ban","tag":"a","expiration":0}]}]"#;

/// A daemon with one rule, whose batches are answered by `batch`.
fn daemon(batch: fn() -> Reply) -> StandIn {
    StandIn::unix(move |request| match request.line() {
        "GET /v1/client" => Reply::json(200, CLIENTS),
        "GET /v1/drop?owners=true" => Reply::json(200, ENTRIES),
        "GET /v1/ignore?owners=true" | "GET /v1/sets/drop" | "GET /v1/sets/ignore" => {
            Reply::json(200, "[]")
        }
        "POST /v1/drop/batch" | "POST /v1/ignore/batch" => batch(),
        other => Reply::text(500, "text/plain", format!("unexpected: {other}")),
    })
}

fn done() -> Reply {
    Reply::json(
        200,
        r#"{"added":1,"updated":1,"unchanged":0,"removed":0,"failed":0,"failures":[]}"#,
    )
}

fn file(daemon: &StandIn, text: &str) -> String {
    let path: PathBuf = daemon.dir.path().join("state.toml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

const STATE: &str = "[[drop]]\ntag = 'a'\nreason = 'new'\nentries = ['192.0.2.1', '192.0.2.2']\n[[ignore]]\ntag = 'untagged'\nentries = ['192.0.2.3']\n";

#[test]
fn the_plan_as_json() {
    let daemon = daemon(done);
    let file = file(&daemon, STATE);
    let shown = couicctl(&daemon, &["diff", "-f", &file, "--json"]);
    assert_eq!((shown.code, shown.err.as_str()), (1, ""), "{shown:?}");
    let plan: Value = serde_json::from_str(&shown.out).unwrap();
    let claim = |reason: Value| json!({"expiration": 0, "reason": reason});
    let expected = json!({
        "same": false, "add": 2, "change": 1, "delete": 0, "expired": 0, "changes": [
            {"action": "add", "kind": "rule", "policy": "ignore", "cidr": "192.0.2.3/32", "tag": null, "old": null, "new": claim(json!(null))},
            {"action": "change", "kind": "rule", "policy": "drop", "cidr": "192.0.2.1/32", "tag": "a", "old": claim(json!("old")), "new": claim(json!("new"))},
            {"action": "add", "kind": "rule", "policy": "drop", "cidr": "192.0.2.2/32", "tag": "a", "old": null, "new": claim(json!("new"))},
        ],
    });
    assert_eq!(plan, expected);
    assert!(
        daemon
            .requests()
            .iter()
            .all(|r| r.line().starts_with("GET "))
    );
}

#[test]
fn a_connection_that_breaks_says_what_is_done() {
    let daemon = daemon(|| Reply::text(502, "text/html", "bad gateway"));
    let file = file(&daemon, STATE);
    let ended = couicctl(&daemon, &["apply", "-f", &file, "--json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        (
            &told["applied"],
            &told["steps"][0]["done"],
            &told["steps"][1]["error"]
        ),
        (&json!(false), &json!(false), &json!(null))
    );
    for line in [
        "error: failed: ignore: add 1 rule\n",
        "not done: drop: add 1 rule, change 1 rule\n",
        "is in force in part\nhint: once that is mended",
    ] {
        assert!(ended.err.contains(line), "{line}\n{ended:?}");
    }
}

#[test]
fn jobs_carry_tag_reason_and_guard() {
    let daemon = daemon(done);
    let file = file(
        &daemon,
        "[owns]\ndrop = ['a']\n[[drop]]\ntag = 'untagged'\nexpires = 2099-01-01T00:00:00Z\nreason = 'r'\nentries = ['192.0.2.2']\n",
    );
    let shown = couicctl(&daemon, &["apply", "-f", &file, "--force=host"]).done();
    assert!(
        shown.ends_with("done: drop: add 1 rule, delete 1 rule\n"),
        "{shown}"
    );
    let sent = daemon
        .requests()
        .into_iter()
        .find(|r| r.line().starts_with("POST"))
        .unwrap();
    let jobs = serde_json::Deserializer::from_slice(&sent.body).into_iter();
    let jobs: Vec<Value> = jobs.collect::<Result<_, _>>().unwrap();
    let guard = json!({"protect": [], "lift": ["host"]});
    let add = json!({"action": "add", "entry": {"cidr": "192.0.2.2/32", "expiration": 4_070_908_800u64,
        "metadata": {"kind": "couicctl", "detail": "r"}, "guard": guard}});
    let remove = json!({"action": "remove", "entry": {"cidr": "192.0.2.1/32", "expiration": 0, "tag": "a", "guard": guard}});
    assert_eq!(jobs, [add, remove]);
}

#[test]
fn what_stands_in_the_way_is_said_at_once_and_nothing_is_sent() {
    let daemon = daemon(done);
    let text = format!(
        "{STATE}[clients.ci]\ngroup = 'clientrw'\n[clients.new]\ngroup = 'clientro'\n[clients.couicctl]\ngroup = 'clientro'\n"
    );
    let file = file(&daemon, &text);
    let error = couicctl(&daemon, &["apply", "-f", &file]).failed(2);
    for line in [
        "line 8: clients.ci: limits and groups",
        "line 10: clients.new: it is to be created",
        "line 12: clients.couicctl: is the client that couicctl uses",
    ] {
        assert!(error.contains(line), "{line}\n{error}");
    }
    let told = couicctl(&daemon, &["diff", "-f", &file]);
    let refused = "apply refuses line 12: clients.couicctl";
    assert!(told.code == 1 && told.err.contains(refused), "{told:?}");
    assert!(
        daemon
            .requests()
            .iter()
            .all(|r| r.line().starts_with("GET "))
    );
    let error = run(
        command(&config(&daemon), &["diff", "-f", "-"]),
        "[[drop]]\ntag = 'a'\nentries = 5\n[dorp]\n",
    )
    .failed(2);
    assert_eq!(
        error,
        "error: standard input is not usable, nothing was changed\n  line 3: drop[0].entries: must be an array, not an integer\n  \
         line 4: dorp: unknown key; known here: client, clients, drop, ignore, owns, sets\n"
    );
}

#[test]
fn an_export_is_toml_without_tokens() {
    let daemon = daemon(done);
    let shown = couicctl(&daemon, &["export"]).done();
    let read: toml::Table = shown.parse().unwrap();
    assert_eq!(
        read["drop"][0]["entries"][0]["reason"].as_str(),
        Some("old")
    );
    assert_eq!(read["clients"]["ci"]["group"].as_str(), Some("clientro"));
    assert!(
        !shown.contains("fail2ban")
            && !read["clients"].as_table().unwrap().contains_key("couicctl"),
        "{shown}"
    );
}
