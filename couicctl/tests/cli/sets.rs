//! `sets`.

use std::fs;

use couic_testkit::{Reply, Request, StandIn};
use serde_json::json;

use crate::{command, config, couicctl, run};

fn daemon() -> StandIn {
    StandIn::unix(|seen| match seen.line() {
        "GET /v1/sets/drop" => {
            Reply::json(200, r#"[{"name":"bad","entry_count":2,"file_size":2048}]"#)
        }
        "GET /v1/sets/ignore" => {
            Reply::json(200, r#"[{"name":"ok","entry_count":1,"file_size":9}]"#)
        }
        "GET /v1/sets/drop/bda" => Reply::json(
            404,
            r#"{"code":"not_found","message":"there is no set drop/bda","errors":{}}"#,
        ),
        "GET /v1/sets/drop/bad" => Reply::json(
            200,
            r#"{"name":"bad","entries":["10.0.0.0/8","192.0.2.7/32"]}"#,
        ),
        "POST /v1/sets/drop" | "PUT /v1/sets/drop/bad" => Reply::json(201, "{}"),
        "DELETE /v1/sets/drop/bad" => {
            Reply::json(200, r#"{"deleted":true,"reload_required":true}"#)
        }
        "POST /v1/sets/reload" => Reply::json(201, r#"{"reload_status":"OK"}"#),
        other => panic!("{other}"),
    })
}

#[test]
fn list_and_inspect() {
    let daemon = daemon();
    let expected = "drop\tbad\t2\t2.0 KiB\n";
    assert_eq!(
        couicctl(&daemon, &["sets", "list", "drop"]).done(),
        expected
    );
    let both = couicctl(&daemon, &["sets", "list"]).done();
    assert_eq!(both, format!("{expected}ignore\tok\t1\t9 B\n"));
    let both = couicctl(&daemon, &["sets", "list", "--json"]).json();
    assert_eq!(
        both[1],
        json!({"policy": "ignore", "name": "ok", "entry_count": 1, "file_size": 9})
    );
    let all = couicctl(&daemon, &["sets", "list", "drop", "--json"]).json();
    assert_eq!(all[0]["file_size"], 2048);
    let table = couicctl(&daemon, &["sets", "inspect", "drop", "bad"]).done();
    assert!(table.contains("drop\tbad\t192.0.2.7/32\n"), "{table}");
    let quiet = couicctl(&daemon, &["sets", "inspect", "drop", "bad", "-q"]).done();
    assert_eq!(quiet, "10.0.0.0/8\n192.0.2.7/32\n");
    let quiet = couicctl(&daemon, &["sets", "inspect", "drop", "bad", "-q", "--json"]).json();
    assert_eq!(quiet, json!(["10.0.0.0/8", "192.0.2.7/32"]));
}

#[test]
fn create_combines_all_sources() {
    let daemon = daemon();
    let file = daemon.dir.path().join("list");
    fs::write(&file, "192.0.2.7\n10.9.9.9/8\n").unwrap();
    let shown = couicctl(
        &daemon,
        &[
            "sets",
            "create",
            "drop",
            "bad",
            "10.0.0.0/8",
            "2001:db8::1",
            "--from-file",
            file.to_str().unwrap(),
        ],
    );
    assert_eq!(
        shown.done(),
        "Set drop/bad written, 3 entries. Rules change at the next couicctl sets reload.\n"
    );
    let seen = daemon.only();
    assert_eq!(seen.line(), "POST /v1/sets/drop");
    let body = seen.json();
    assert_eq!(body["name"], "bad");
    assert_eq!(
        body["entries"],
        json!(["10.0.0.0/8", "192.0.2.7/32", "2001:db8::1/128"])
    );
}

#[test]
fn update_from_standard_input() {
    let daemon = daemon();
    let args = [
        "sets",
        "update",
        "drop",
        "bad",
        "--from-file",
        "-",
        "--json",
    ];
    let shown = run(command(&config(&daemon), &args), "192.0.2.7 # one\n").json();
    assert_eq!(
        shown,
        json!({"policy": "drop", "name": "bad", "entry_count": 1, "reload_required": true})
    );
    assert_eq!(daemon.only().line(), "PUT /v1/sets/drop/bad");
    assert_eq!(daemon.only().json()["entries"], json!(["192.0.2.7/32"]));
}

#[test]
fn an_empty_input_does_not_empty_a_set() {
    let daemon = daemon();
    let args = ["sets", "update", "drop", "bad", "--from-file", "-"];
    let error = run(command(&config(&daemon), &args), "# the download failed\n").failed(2);
    assert!(
        error.contains("contains no CIDR, nothing was changed"),
        "{error}"
    );
    assert!(daemon.requests().is_empty());
}

#[test]
fn sets_have_guard_rails() {
    let daemon = StandIn::always(201, "{}");
    let mut create = command(
        &config(&daemon),
        &["sets", "create", "drop", "bad", "10.0.0.0/8"],
    );
    create.env("SSH_CLIENT", "203.0.113.9 50000 22");
    run(create, "").done();
    couicctl(
        &daemon,
        &["sets", "update", "drop", "bad", "10.0.0.0/8", "--force"],
    )
    .done();
    couicctl(&daemon, &["sets", "create", "ignore", "good", "10.0.0.0/8"]).done();
    let bodies: Vec<_> = daemon.requests().iter().map(Request::json).collect();
    let protected = bodies[0]["guard"]["protect"].as_array().unwrap();
    assert!(
        protected.iter().any(|a| a == "203.0.113.9"),
        "{protected:?}"
    );
    assert_eq!(bodies[0].get("force"), None);
    assert_eq!(bodies[1]["force"], json!(true));
    assert_eq!(
        bodies[2],
        json!({"name": "good", "entries": ["10.0.0.0/8"], "guard": {"protect": []}})
    );
}

/// What the daemon answers to a list.
fn listing() -> StandIn {
    StandIn::unix(|seen| {
        let refused = r#"{"policy":"drop","file":"bad.couic","cidr":"198.51.100.0/24","rail":"host","message":"it holds 198.51.100.7"}"#;
        let line = seen.line();
        match line.split(['?', '&']).next().unwrap() {
            "PUT /v1/sets/drop/bad" if line.contains("exists=true") => Reply::json(
                200,
                format!(
                    r#"{{"name":"bad","entry_count":3,"file_size":40,"applied":true,"added":2,"removed":1,"refused_count":1,"refused":[{refused}],"notes":["cut"]}}"#
                ),
            ),
            "PUT /v1/sets/drop/bad" => {
                let applied = line.contains("apply=true");
                let count = seen.body.iter().filter(|b| **b == b'\n').count();
                Reply::json(
                    201,
                    format!(
                        r#"{{"name":"bad","entry_count":{count},"file_size":40,"applied":{applied},"added":{count},"removed":0}}"#
                    ),
                )
            }
            "DELETE /v1/sets/drop/bad" => {
                assert!(line.contains("apply=true"), "{line}");
                Reply::json(200, r#"{"deleted":true,"reload_required":false}"#)
            }
            other => panic!("{other}"),
        }
    })
}

#[test]
fn apply_sends_a_list_and_says_what_changed() {
    let daemon = listing();
    let set = ["drop", "bad", "192.0.2.7", "10.0.0.0/8", "--apply"];
    let args = [&["sets", "create"], &set[..]].concat();
    assert_eq!(
        couicctl(&daemon, &args).done(),
        "Set drop/bad applied, 2 entries: 2 new, 0 gone.\n"
    );
    let seen = daemon.only();
    let line = seen.line();
    assert!(
        line.starts_with("PUT /v1/sets/drop/bad?apply=true&exists=false&guard="),
        "{line}"
    );
    assert_eq!(seen.header("content-type"), Some("text/plain"));
    assert_eq!(seen.body, b"10.0.0.0/8\n192.0.2.7/32\n");
    // What a guard rail keeps out of force is an error.
    let args = [&["sets", "update"], &set[..], &["--force"]].concat();
    let run = couicctl(&daemon, &args);
    let shown = "Set drop/bad applied, 3 entries: 2 new, 1 gone.\n";
    assert_eq!((run.code, run.out.as_str()), (1, shown));
    let told = run.err;
    for expected in [
        "warning: cut",
        "1 entry is NOT in force, all others are:",
        "sets/drop/bad.couic: 198.51.100.0/24: guard rail host: it holds 198.51.100.7",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    let forced = daemon.requests()[1].line().to_owned();
    assert!(
        forced.contains("exists=true") && forced.ends_with("force=true"),
        "{forced}"
    );
    assert_eq!(
        couicctl(&daemon, &["sets", "delete", "drop", "bad", "--apply"]).done(),
        "Set drop/bad deleted. Its rules are gone.\n"
    );
    let args = [&["sets", "create"], &set[..], &["--json"]].concat();
    let shown = couicctl(&daemon, &args).json();
    assert_eq!(
        (&shown["added"], &shown["reload_required"]),
        (&json!(2), &json!(false))
    );
}

#[test]
fn a_large_set_is_sent_as_a_list() {
    let daemon = listing();
    let list = daemon.dir.path().join("list");
    let text: String = (0..100_001u32)
        .map(|n| format!("{}\n", std::net::Ipv4Addr::from(0x0a00_0000 + n)))
        .collect();
    fs::write(&list, text).unwrap();
    let file = list.to_str().unwrap();
    let args = ["sets", "create", "drop", "bad", "--from-file", file];
    assert_eq!(
        couicctl(&daemon, &args).done(),
        "Set drop/bad written, 100001 entries. Rules change at the next couicctl sets reload.\n"
    );
    let line = daemon.only().line().to_owned();
    assert!(!line.contains("apply"), "{line}");
}

#[test]
fn delete_and_reload() {
    let daemon = daemon();
    assert_eq!(
        couicctl(&daemon, &["sets", "delete", "drop", "bad"]).done(),
        "Set drop/bad deleted. Its rules stay until the next couicctl sets reload.\n"
    );
    assert_eq!(
        couicctl(&daemon, &["sets", "reload"]).done(),
        "The set files have been applied to the rules.\n"
    );
    let shown = couicctl(&daemon, &["sets", "reload", "--json"]).json();
    assert_eq!(shown, json!({"reload_status": "OK"}));
}

/// A configuration whose prefixes come from another stand-in.
fn with_source(daemon: &StandIn, source: &StandIn) -> std::path::PathBuf {
    let path = config(daemon);
    let mut text = fs::read_to_string(&path).unwrap();
    let address = source.address.unwrap();
    text += &format!("asn_url = \"http://{address}/data.json?resource=AS{{asn}}&key=hidden\"\n");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn from_an_autonomous_system() {
    let source = StandIn::tcp(|_| {
        Reply::json(
            200,
            r#"{"status":"ok","data":{"prefixes":[{"prefix":"2001:db8::/32"},{"prefix":"192.0.2.0/24"}]}}"#,
        )
    });
    let daemon = daemon();
    let config = with_source(&daemon, &source);
    let args = [
        "sets",
        "create",
        "drop",
        "bad",
        "--from-asn",
        "AS64496",
        "198.51.100.0/24",
    ];
    let shown = run(command(&config, &args), "").done();
    assert!(
        shown.starts_with("Set drop/bad written, 3 entries."),
        "{shown}"
    );
    let asked = source.only();
    assert_eq!(asked.line(), "GET /data.json?resource=AS64496&key=hidden");
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(
        daemon.only().json()["entries"],
        json!(["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"])
    );
}

#[test]
fn a_source_that_fails_changes_nothing_and_its_url_is_not_shown() {
    for (status, body, text) in [
        (500, "", "it responded with 500 Internal Server Error"),
        (200, "<html>", "not in RIPEstat's format"),
        (200, r#"{"data":{"prefixes":[]}}"#, "it lists no prefixes"),
    ] {
        let source = StandIn::tcp(move |_| Reply::json(status, body));
        let daemon = daemon();
        let config = with_source(&daemon, &source);
        let args = ["sets", "update", "drop", "bad", "--from-asn", "64496"];
        let error = run(command(&config, &args), "").failed(1);
        assert!(
            error.contains(text) && error.contains("from 127.0.0.1"),
            "{error}"
        );
        assert!(!error.contains("hidden"), "{error}");
        assert!(daemon.requests().is_empty());
    }
}

#[test]
fn invalid_arguments() {
    let daemon = daemon();
    for args in [
        &["sets", "list", "DROP"][..],
        &["sets", "create", "drop", "bad"],
        &["sets", "create", "drop", "b/d", "10.0.0.0/8"],
        &["sets", "create", "drop", "bad", "10.0.0.0/x"],
        &["sets", "create", "drop", "bad", "--from-asn", "ASX"],
        &["sets", "update", "drop", "bad"],
    ] {
        let error = couicctl(&daemon, args).failed(2);
        assert!(error.contains("error: "), "{args:?}: {error}");
    }
    assert!(daemon.requests().is_empty());
}

#[test]
fn a_set_that_is_nearly_right_is_suggested() {
    let error = couicctl(&daemon(), &["sets", "inspect", "drop", "bda"]).failed(1);
    assert_eq!(
        error,
        "error: there is no set drop/bda\nhint: did you mean bad?\n"
    );
}
