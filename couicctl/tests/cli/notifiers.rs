//! `notifiers`.

use couic_testkit::{Reply, StandIn};
use serde_json::json;

use crate::couicctl;

const SIEM: &str = r#"{"name":"siem","plugin":"webhook","mode":"builtin","state":"retrying","problems":[],
    "last_error":{"message":"connection refused","at":1},"last_success":null,"next_attempt_secs":3,"queue_events":2,
    "queue_bytes":300,"oldest_age_secs":9,"dead_letters":0,"enqueued":2,"delivered":0,"failed_attempts":4,
    "attempts":{"retry":4},"dropped":0,"merged":0,"dead":0,"restarts":0,"spool":{"bytes":4096,"segments":1,"problem":null}}"#;
const DEAD: &str = r#"[{"key":17,"id":null,"text":"3 changes of the rules","severity":"green","created":1,"died":1000000000,
    "reason":"the server answered 400"}]"#;

fn daemon() -> StandIn {
    StandIn::unix(|seen| match seen.line() {
        "GET /v1/notifiers" => Reply::json(200, format!("[{SIEM}]")),
        "POST /v1/notifiers/siem/resume" => Reply::json(200, SIEM),
        "GET /v1/notifiers/siem/dead?limit=100" => Reply::json(200, DEAD),
        "GET /v1/notifiers/siem/dead?limit=1&after=16" => Reply::json(200, DEAD),
        "GET /v1/notifiers/quiet/dead?limit=100" => Reply::json(200, "[]"),
        "POST /v1/notifiers/siem/replay" => Reply::json(200, r#"{"replayed":3}"#),
        "POST /v1/notifiers/siem/replay?key=17" => Reply::json(200, r#"{"replayed":1}"#),
        "POST /v1/notifiers/quiet/replay" => Reply::json(200, r#"{"replayed":0}"#),
        "DELETE /v1/notifiers/siem/dead?key=all" => Reply::json(200, r#"{"discarded":0}"#),
        "DELETE /v1/notifiers/siem/dead?key=17" => Reply::json(200, r#"{"discarded":1}"#),
        other => panic!("{other}"),
    })
}

#[test]
fn list_and_resume() {
    let daemon = daemon();
    let shown = couicctl(&daemon, &["notifiers", "list"]).done();
    assert!(
        shown.contains("siem\twebhook\tbuiltin\tretrying\t2\t"),
        "{shown}"
    );
    assert!(shown.contains("siem retries in 3 s; "), "{shown}");
    let list = couicctl(&daemon, &["notifiers", "list", "--json"]).json();
    assert_eq!(list[0]["spool"]["bytes"], 4096);
    let resumed = couicctl(&daemon, &["notifiers", "resume", "siem"]).done();
    assert_eq!(
        resumed,
        "siem resumed, 2 notifications are queued. See couicctl notifiers list for the result.\n"
    );
}

#[test]
fn dead_letters() {
    let daemon = daemon();
    let expected =
        "17\t2001-09-09T01:46:40Z\tgreen\t3 changes of the rules\tthe server answered 400\n";
    let dead = |args: &[&str]| {
        let args = [&["notifiers", "dead"], args].concat();
        couicctl(&daemon, &args).done()
    };
    assert_eq!(dead(&["siem"]), expected);
    let more = format!("{expected}There may be more: --after 17\n");
    assert_eq!(dead(&["siem", "-n", "1", "--after", "16"]), more);
    assert_eq!(dead(&["quiet"]), "", "the sentence is for terminals");
    for (args, expected) in [
        (
            &["replay", "siem"][..],
            "3 dead letters of siem queued again.\n",
        ),
        (
            &["replay", "siem", "--key", "17"],
            "1 dead letter of siem queued again.\n",
        ),
        (
            &["replay", "quiet"],
            "quiet has no dead letters: nothing was queued again.\n",
        ),
        (
            &["discard", "siem", "--all"],
            "siem has no dead letters: nothing was deleted.\n",
        ),
        (
            &["discard", "siem", "--key", "17"],
            "1 dead letter of siem deleted.\n",
        ),
    ] {
        let args = [&["notifiers"], args].concat();
        assert_eq!(couicctl(&daemon, &args).done(), expected);
    }
    let replayed = couicctl(&daemon, &["notifiers", "replay", "siem", "--json"]);
    assert_eq!(replayed.json(), json!({"replayed": 3}));
}

#[test]
fn a_test_reports_its_result() {
    let ends = |body: &'static str| StandIn::always(200, body);
    let good = ends(
        r#"{"name":"siem","delivered":true,"outcome":"delivered","http_status":204,"message":null,"took_ms":12}"#,
    );
    let done = couicctl(&good, &["notifiers", "test", "siem"]).done();
    assert_eq!(done, "siem: delivered in 12 ms (HTTP 204).\n");
    assert_eq!(good.only().line(), "POST /v1/notifiers/siem/test");

    let bad = ends(
        r#"{"name":"siem","delivered":false,"outcome":"permanent","http_status":404,"message":"the server answered 404","took_ms":12}"#,
    );
    let error = couicctl(&bad, &["notifiers", "test", "siem"]).failed(1);
    assert_eq!(
        error,
        "error: siem: not delivered: the server answered 404; correct the URL in couic.toml and restart couic\n"
    );
    let run = couicctl(&bad, &["notifiers", "test", "siem", "--json"]);
    assert_eq!((run.code, run.err.as_str()), (1, ""));
    let shown: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(shown["outcome"], "permanent");
}

#[test]
fn errors_of_daemon_and_arguments() {
    let body = r#"{"code":"not_found","message":"there is no notifier \"x\"","errors":{}}"#;
    let daemon = StandIn::always(404, body);
    let error = couicctl(&daemon, &["notifiers", "test", "x"]).failed(1);
    assert_eq!(error, "error: there is no notifier \"x\"\n");
    let seen = daemon.requests().len();
    for args in [
        &["test", "../x"][..],
        &["test"],
        &["discard", "siem"],
        &["discard", "siem", "--all", "--key", "1"],
        &["dead", "siem", "-n", "0"],
        &["replay", "siem", "--key", "x"],
    ] {
        let args = [&["notifiers"], args].concat();
        couicctl(&daemon, &args).failed(2);
    }
    assert_eq!(daemon.requests().len(), seen, "nothing was sent");
}
