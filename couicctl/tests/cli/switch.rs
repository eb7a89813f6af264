//! `panic`, `confirm`, and the warnings of other commands about them.

use couic_common::unix_seconds;
use couic_testkit::{Reply, StandIn};
use serde_json::json;

use crate::{command, config, couicctl, run};

const ENTRY: &str = r#"{"creation":1,"cidr":"192.0.2.7/32","tag":null,"expiration":0}"#;

fn on() -> String {
    format!(
        r#"{{"on":true,"by":"ops","since":{},"reason":"locked out"}}"#,
        unix_seconds() - 60
    )
}

#[test]
fn panic_is_switched_and_shown() {
    let daemon = StandIn::unix(|seen| match seen.line() {
        "GET /v1/panic" => Reply::json(200, on()).with("couic-panic", "on"),
        "PUT /v1/panic" if seen.json()["on"] == true => {
            Reply::json(200, on()).with("couic-panic", "on")
        }
        "PUT /v1/panic" => Reply::json(200, r#"{"on":false,"by":"ops","since":1}"#),
        other => panic!("{other}"),
    });
    for args in [&["panic"][..], &["panic", "on", "--reason", "locked out"]] {
        let shown = couicctl(&daemon, args).done();
        assert!(
            shown.starts_with("PANIC IS ON: every packet passes"),
            "{shown}"
        );
        assert!(
            shown.contains("Switched by ops") && shown.contains("Reason: locked out"),
            "{shown}"
        );
    }
    assert_eq!(
        daemon.requests()[1].json(),
        json!({"on": true, "reason": "locked out"})
    );
    let shown = couicctl(&daemon, &["panic", "off"]).done();
    assert!(
        shown.starts_with("Panic is off: the rules are in force.\n"),
        "{shown}"
    );
    assert_eq!(daemon.requests()[2].json(), json!({"on": false}));
    assert_eq!(couicctl(&daemon, &["panic", "--json"]).json()["by"], "ops");
    couicctl(&daemon, &["panic", "maybe"]).failed(2);
}

#[test]
fn an_unsaved_switch_has_its_own_exit_code() {
    let daemon = StandIn::unix(|seen| {
        let on = match seen.line() {
            "GET /v1/panic" => true,
            "PUT /v1/panic" => seen.json()["on"] == true,
            other => panic!("{other}"),
        };
        let body = format!(
            r#"{{"on":{on},"by":"ops","since":1,"problem":"panic.json: read-only file system"}}"#
        );
        Reply::json(200, body)
    });
    for (arg, shown, error) in [
        ("on", "PANIC IS ON", "panic is on, and every packet passes"),
        (
            "off",
            "Panic is off",
            "panic is off, and the rules are in force",
        ),
    ] {
        let done = couicctl(&daemon, &["panic", arg]);
        assert_eq!(done.code, 4, "{done:?}");
        assert!(done.out.starts_with(shown), "{done:?}");
        assert!(done.err.contains(error), "{done:?}");
        assert!(done.err.contains("read-only file system"), "{done:?}");
        let json = couicctl(&daemon, &["panic", arg, "--json"]);
        assert_eq!(json.code, 4);
        let shown: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!(shown["on"], arg == "on");
    }
    let asked = couicctl(&daemon, &["panic"]).done();
    assert!(asked.contains("Problem: panic.json"), "{asked}");
}

#[test]
fn health_under_panic_names_the_client_if_the_token_has_the_right() {
    let health =
        r#"{"status":"down","version":"2","interfaces":[],"set_problems":[],"panic_since":1}"#;
    for may in [true, false] {
        let daemon = StandIn::unix(move |seen| {
            let answer = match seen.line() {
                "GET /v1/health" => Reply::json(503, health),
                "GET /v1/panic" if may => Reply::json(200, on()),
                "GET /v1/panic" => {
                    Reply::json(401, r#"{"code":"unauthorized","message":"no","errors":{}}"#)
                }
                other => panic!("{other}"),
            };
            answer.with("couic-panic", "on")
        });
        let shown = couicctl(&daemon, &["health"]);
        assert_eq!(shown.code, 1, "{shown:?}");
        let begins = "couic 2 filters NOTHING.\nPANIC IS ON: every packet passes";
        assert!(shown.out.starts_with(begins), "{}", shown.out);
        let by = shown.out.contains("switched on by ops: locked out");
        assert_eq!(by, may, "{}", shown.out);
    }
}

#[test]
fn every_command_warns_that_panic_is_on() {
    let daemon = StandIn::unix(|seen| {
        let answer = match seen.line() {
            "GET /v1/drop" => Reply::text(200, "application/x-ndjson", format!("{ENTRY}\n")),
            "DELETE /v1/drop/192.0.2.7/32" => Reply::json(
                404,
                r#"{"code":"not_found","message":"it is not there","errors":{}}"#,
            ),
            other => panic!("{other}"),
        };
        answer.with("couic-panic", "on")
    });
    let listed = couicctl(&daemon, &["drop", "list", "-q"]);
    assert_eq!((listed.code, listed.out.as_str()), (0, "192.0.2.7/32\n"));
    assert!(
        listed.err.starts_with("warning: PANIC IS ON"),
        "{}",
        listed.err
    );
    let refused = couicctl(&daemon, &["drop", "delete", "192.0.2.7"]).failed(1);
    assert!(
        refused.contains("PANIC IS ON") && refused.contains("it is not there"),
        "{refused}"
    );
}

#[test]
fn a_change_to_confirm_prints_the_command() {
    let until = unix_seconds() + 60;
    let daemon = StandIn::unix(move |seen| {
        let answer = match seen.line() {
            "POST /v1/drop" => Reply::json(201, ENTRY),
            "DELETE /v1/drop/192.0.2.7/32" => Reply::text(204, "", ""),
            "POST /v1/drop/batch" => Reply::json(
                200,
                r#"{"added":1,"updated":0,"unchanged":0,"removed":0,"failed":0,"failures":[]}"#,
            ),
            "POST /v1/sets/drop" | "PUT /v1/sets/drop/s" => {
                Reply::json(201, r#"{"name":"s","entries":[]}"#)
            }
            "DELETE /v1/sets/drop/s" => {
                Reply::json(200, r#"{"deleted":true,"reload_required":true}"#)
            }
            "POST /v1/sets/reload" => Reply::json(201, r#"{"reload_status":"OK"}"#),
            other => panic!("{other}"),
        };
        let answer = answer.with("couic-confirm-id", "3f2a9c01");
        answer.with("couic-confirm-until", until.to_string())
    });
    let path = config(&daemon);
    for args in [
        &["drop", "add", "192.0.2.7"][..],
        &["drop", "delete", "192.0.2.7"],
        &["drop", "import", "-"],
        &["sets", "create", "drop", "s", "192.0.2.0/24"],
        &["sets", "update", "drop", "s", "192.0.2.0/24"],
        &["sets", "delete", "drop", "s"],
        &["sets", "reload"],
    ] {
        let done = run(
            command(&path, &[args, &["--confirm-within", "1m"]].concat()),
            "192.0.2.7\n",
        );
        assert_eq!(done.code, 0, "{done:?}");
        assert!(
            done.err.starts_with("warning: this change is undone in "),
            "{args:?}: {}",
            done.err
        );
        let how = format!("hint: couicctl -c {} confirm 3f2a9c01\n", path.display());
        assert!(done.err.ends_with(&how), "{}", done.err);
        let asked = |within| {
            let requests = daemon.requests();
            let last = requests.last().unwrap();
            assert_eq!(last.header("couic-confirm-within"), within, "{args:?}");
        };
        asked(Some("60"));
        let plain = run(command(&path, args), "192.0.2.7\n");
        assert_eq!((plain.code, plain.err.as_str()), (0, ""));
        asked(None);
    }
    couicctl(
        &daemon,
        &["drop", "add", "192.0.2.7", "--confirm-within", "2d"],
    )
    .failed(2);
    couicctl(&daemon, &["drop", "list", "--confirm-within", "1m"]).failed(2);
}

#[test]
fn a_daemon_without_undo_is_detected() {
    let daemon = StandIn::always(201, ENTRY);
    let done = couicctl(
        &daemon,
        &["drop", "add", "192.0.2.7", "--confirm-within", "1m"],
    );
    assert_eq!(done.code, 0);
    assert!(
        done.err.contains("no change awaits confirmation"),
        "{}",
        done.err
    );
}

#[test]
fn confirmed_listed_and_undone() {
    let at = unix_seconds() - 5;
    let undone = format!(
        r#"{{"id":"3f2a9c01","client":"ops","summary":"sets reload","at":{at},"restored":2,"left_alone":["drop 192.0.2.7/32"]}}"#
    );
    let daemon = StandIn::unix(move |seen| match seen.line() {
        "POST /v1/confirm" => Reply::json(200, r#"{"confirmed":["3f2a9c01","3f2a9c02"]}"#),
        "POST /v1/confirm/3f2a9c01" => Reply::json(200, r#"{"confirmed":["3f2a9c01"]}"#),
        "DELETE /v1/confirm/3f2a9c01" => Reply::json(200, undone.clone()),
        "POST /v1/confirm/00000000" => Reply::json(
            404,
            r#"{"code":"not_found","message":"the change 00000000 was undone 5 s ago: make it again","errors":{}}"#,
        ),
        "GET /v1/confirm" => Reply::json(200, format!(r#"{{"pending":[],"reverted":[{undone}]}}"#)),
        other => panic!("{other}"),
    });
    assert_eq!(
        couicctl(&daemon, &["confirm"]).done(),
        "Confirmed: 3f2a9c01, 3f2a9c02\n"
    );
    assert_eq!(
        couicctl(&daemon, &["confirm", "3f2a9c01"]).done(),
        "Confirmed: 3f2a9c01\n"
    );
    let said = couicctl(&daemon, &["confirm", "00000000"]).failed(1);
    assert!(said.contains("was undone 5 s ago: make it again"), "{said}");
    let undone = couicctl(&daemon, &["confirm", "undo", "3f2a9c01"]).done();
    assert!(
        undone.starts_with("3f2a9c01 of ops (sets reload) was undone"),
        "{undone}"
    );
    let listed = couicctl(&daemon, &["confirm", "list"]).done();
    assert!(listed.starts_with("3f2a9c01 of ops"), "{listed}");
    assert_eq!(
        couicctl(&daemon, &["confirm", "list", "--json"]).json()["pending"],
        json!([])
    );
    couicctl(&daemon, &["confirm", "xyz"]).failed(2);
}
