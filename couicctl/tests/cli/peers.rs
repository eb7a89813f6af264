//! `peers`.

use couic_testkit::{Reply, StandIn};
use serde_json::json;

use crate::couicctl;

const PEER: &str = r#"{"name":"frankfurt","endpoint":"f.example:2900","state":"in_sync","rules":3,"queue":1,
    "lag_ms":12,"differing":0,"refused_ranges":0,"sent":5,"refused":0,"received":4,"not_accepted":0,
    "clock_ahead_ms":-2,"last_answer":1,"last_equal":1,"last_error":null}"#;

fn daemon() -> StandIn {
    StandIn::unix(|seen| match seen.line() {
        "GET /v1/peers" => Reply::json(200, format!("[{PEER}]")),
        "DELETE /v1/peers/frankfurt" => Reply::json(200, r#"{"removed":3}"#),
        "DELETE /v1/peers/nobody" => Reply::json(
            404,
            r#"{"code":"not_found","message":"there is no peer called nobody","errors":{}}"#,
        ),
        other => panic!("{other}"),
    })
}

#[test]
fn list_is_the_default() {
    let daemon = daemon();
    for args in [&["peers"][..], &["peers", "list"]] {
        let shown = couicctl(&daemon, args).done();
        assert!(
            shown.contains("frankfurt\tf.example:2900\tin sync\t3\t1\t12 ms\t"),
            "{shown}"
        );
    }
    let listed = couicctl(&daemon, &["peers", "--json"]).json();
    assert_eq!(listed[0]["lag_ms"], 12);
}

#[test]
fn forgotten() {
    let daemon = daemon();
    assert_eq!(
        couicctl(&daemon, &["peers", "forget", "frankfurt"]).done(),
        "3 rules from frankfurt removed.\n"
    );
    let done = couicctl(&daemon, &["peers", "forget", "frankfurt", "--json"]).json();
    assert_eq!(done, json!({"removed": 3}));
    let said = couicctl(&daemon, &["peers", "forget", "nobody"]).failed(1);
    assert!(said.contains("no peer called nobody"), "{said}");
    couicctl(&daemon, &["peers", "forget", "a b"]).failed(2);
}
