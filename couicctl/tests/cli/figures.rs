//! `stats`, `check`, `health`.

use couic_testkit::{Reply, StandIn};
use serde_json::json;

use crate::couicctl;

pub(crate) const STATS: &str = r#"{"drop_cidr_count":2,"ignore_cidr_count":1,"xdp":{
    "XDP_ABORTED":{"rx_packets":0,"rx_bytes":0},"XDP_DROP":{"rx_packets":5,"rx_bytes":3000},
    "XDP_PASS":{"rx_packets":1,"rx_bytes":60},"XDP_TX":{"rx_packets":0,"rx_bytes":0},
    "XDP_REDIRECT":{"rx_packets":0,"rx_bytes":0}}}"#;

#[test]
fn global_figures() {
    let daemon = StandIn::always(200, STATS);
    let shown = couicctl(&daemon, &["stats", "global"]).done();
    assert!(shown.contains("XDP_DROP\t5\t2.9 KiB\n"), "{shown}");
    assert!(shown.ends_with("Rules: 2 drop, 1 ignore\n"), "{shown}");
    assert_eq!(daemon.only().line(), "GET /v1/stats");
    let exact = couicctl(&daemon, &["stats", "global", "--json"]).json();
    assert_eq!(exact["xdp"]["XDP_DROP"]["rx_bytes"], 3000);
}

#[test]
fn figures_by_tag() {
    let daemon = StandIn::unix(|seen| match seen.line() {
        "GET /v1/stats/tags/drop" => Reply::json(
            200,
            r#"{"tags":{"quiet":{"rx_packets":1,"rx_bytes":60},"untagged":{"rx_packets":9,"rx_bytes":540}}}"#,
        ),
        "GET /v1/stats/tags/ignore" => Reply::json(200, r#"{"tags":{}}"#),
        other => panic!("{other}"),
    });
    let expected = "untagged\t9\t540 B\nquiet\t1\t60 B\n";
    assert_eq!(couicctl(&daemon, &["stats", "drop"]).done(), expected);
    let none = couicctl(&daemon, &["stats", "ignore", "--json"]).json();
    assert_eq!(none, json!({"tags": {}}));
}

#[test]
fn the_verdict_for_an_address() {
    let daemon = StandIn::always(
        200,
        r#"{"ip":"2001:db8::7","verdict":"drop","decided_by":
            {"policy":"drop","creation":1000000000,"cidr":"2001:db8::/32","tag":null,"expiration":0},
            "also_covered_by":[]}"#,
    );
    let shown = couicctl(&daemon, &["check", "2001:DB8:0::7"]).done();
    assert!(
        shown.starts_with("2001:db8::7 is dropped: drop 2001:db8::/32 decides.\n"),
        "{shown}"
    );
    assert_eq!(daemon.only().line(), "GET /v1/lookup/2001:db8::7");
    let answer = couicctl(&daemon, &["check", "2001:db8::7", "--json"]).json();
    assert_eq!(answer["verdict"], "drop");
    couicctl(&daemon, &["check", "192.0.2"]).failed(2);
}

#[test]
fn health_has_an_exit_code() {
    const OK: &str = r#"{"status":"ok","version":"2","interfaces":[],"set_problems":[]}"#;
    const DOWN: &str = r#"{"status":"down","version":"2","interfaces":
        [{"name":"eth0","attached":false,"mode":null,"problem":"it is gone"}],"set_problems":[]}"#;
    let daemon = StandIn::always(200, OK);
    let shown = couicctl(&daemon, &["health"]).done();
    assert!(shown.starts_with("couic 2 filters.\n"), "{shown}");
    let daemon = StandIn::always(503, DOWN);
    let shown = couicctl(&daemon, &["health"]);
    assert_eq!((shown.code, shown.err.as_str()), (1, ""));
    assert!(
        shown.out.contains("eth0\tNO\t\tit is gone\n"),
        "{}",
        shown.out
    );
    let shown = couicctl(&daemon, &["health", "--json"]);
    assert_eq!(shown.code, 1);
    let state: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(state["status"], "down");
}

#[test]
fn metrics_are_the_text_of_the_daemon() {
    const TEXT: &str = "# HELP couic_panic Whether.\n# TYPE couic_panic gauge\ncouic_panic 0\n";
    let daemon = StandIn::always(200, TEXT);
    assert_eq!(couicctl(&daemon, &["metrics"]).done(), TEXT);
    let request = daemon.only();
    assert_eq!(request.line(), "GET /v1/metrics?format=prometheus");
    assert_eq!(request.header("accept"), Some("text/plain; version=0.0.4"));
}

#[test]
fn health_needs_no_token() {
    let daemon = StandIn::always(
        200,
        r#"{"status":"ok","version":"2","interfaces":[],"set_problems":[]}"#,
    );
    let config = crate::config(&daemon);
    std::fs::remove_file(daemon.dir.path().join("client.toml")).unwrap();
    let shown = crate::run(crate::command(&config, &["health"]), "").done();
    assert!(shown.starts_with("couic 2 filters.\n"), "{shown}");
    assert_eq!(daemon.only().header("authorization"), None);
    let shown = crate::run(crate::command(&config, &["status"]), "").done();
    assert!(
        shown.contains("only the health is shown: the token in "),
        "{shown}"
    );
}

#[test]
fn status_is_one_screen_and_leaves_out_what_it_may_not_read() {
    const REFUSED: &str = r#"{"code":"unauthorized","message":"no","errors":{}}"#;
    let log = std::cell::Cell::new(true);
    let tags = r#"{"drop_tags":{"sshd":{"rx_packets":4,"rx_bytes":60}},"ignore_tags":{},"#;
    let metrics = STATS.replacen('{', tags, 1);
    let daemon = StandIn::unix(move |seen| match seen.line() {
        "GET /v1/health" => Reply::json(
            503,
            r#"{"status":"down","version":"2","interfaces":[{"name":"eth0","attached":false,"mode":null,"problem":"it is gone"}],"set_problems":[]}"#,
        ),
        "GET /v1/metrics" => Reply::json(200, metrics.as_str()),
        "GET /v1/notifiers" => Reply::json(401, REFUSED),
        // The second time, the right is gone.
        "GET /v1/log?limit=3" if log.replace(false) => Reply::json(
            200,
            r#"[{"at":1,"actor":{"kind":"client","name":"web"},"action":"panic_on"}]"#,
        ),
        "GET /v1/log?limit=3" => Reply::json(401, REFUSED),
        _ => Reply::json(404, r#"{"code":"not_found","message":"no","errors":{}}"#),
    });
    let shown = couicctl(&daemon, &["status"]);
    assert_eq!((shown.code, shown.err.as_str()), (1, ""), "as health");
    for line in [
        "Interfaces  eth0 NOT FILTERED: it is gone\n",
        "Rules       drop 2\n            ignore 1\n",
        "Packets     dropped 0/s (0 B/s), passed 0/s (0 B/s)\n",
        "Top tags    sshd 0/s (4)\n",
        "ago: client web: panic on\n",
        "Note        without notifiers: the token has no right to read it\n",
        "Note        without peers: the daemon is too old to report it\n",
    ] {
        assert!(shown.out.contains(line), "{line}{}", shown.out);
    }
    assert!(shown.out.lines().count() <= 24, "{}", shown.out);
    let shown = couicctl(&daemon, &["status"]).out;
    let silent = !shown.contains("Changes") && !shown.contains("without changes");
    assert!(silent, "{shown}");
}
