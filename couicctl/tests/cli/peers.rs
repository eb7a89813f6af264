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
            shown.contains("│ frankfurt ┆ f.example:2900 ┆ in sync ┆     3 ┆       1 ┆ 12 ms ┆"),
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

/// A daemon with these clients, by name and group.
fn with_clients(clients: &'static [(&str, &str)]) -> StandIn {
    let client = |name: &str, group: &str| {
        let token = "bbfa1388-3218-463c-9722-6805507c14bb";
        json!({"name": name, "group": group, "token": token}).to_string()
    };
    StandIn::unix(move |seen| match seen.line().split_once(" /v1/client") {
        Some(("POST", "")) => {
            let body = seen.json();
            assert_eq!(body["group"], "peering");
            Reply::json(201, client(body["name"].as_str().unwrap(), "peering"))
        }
        Some(("DELETE", _)) => Reply::json(204, ""),
        Some(("GET", path)) => match clients.iter().find(|(name, _)| path[1..] == **name) {
            Some((name, group)) => Reply::json(200, client(name, group)),
            None => Reply::json(404, r#"{"code":"not_found","message":"no","errors":{}}"#),
        },
        other => panic!("{other:?}"),
    })
}

fn lines(daemon: &StandIn) -> Vec<String> {
    let all = daemon.requests();
    all.iter().map(|seen| seen.line().to_owned()).collect()
}

#[test]
fn an_invitation_is_a_table_for_the_other_node() {
    let daemon = with_clients(&[]);
    let args = ["peers", "invite", "couic2", "--host", "couic1.example.org"];
    let table = couicctl(&daemon, &args).done();
    let expected = "
# couic1 shares its rules with this node, which it calls couic2.
[[peering.peers]]
name = \"couic1\"
host = \"couic1.example.org\"
port = 2900
token = \"bbfa1388-3218-463c-9722-6805507c14bb\"
";
    assert_eq!(table, expected);
    assert_eq!(lines(&daemon), ["GET /v1/client/couic2", "POST /v1/client"]);
    let args = [&args[..], &["--as", "paris", "--json"]].concat();
    let shown = couicctl(&daemon, &args).json();
    assert_eq!(
        (shown["client"].clone(), shown["name"].clone()),
        (json!("couic2"), json!("paris"))
    );
    assert!(
        shown["toml"]
            .as_str()
            .unwrap()
            .contains("name = \"paris\"\n")
    );
}

#[test]
fn a_client_that_exists_keeps_its_token_unless_it_is_rotated() {
    let daemon = with_clients(&[("couic2", "peering"), ("ops", "admin")]);
    let args = ["peers", "invite", "couic2", "--host", "couic1.example.org"];
    let said = couicctl(&daemon, &args).failed(1);
    assert!(said.contains("the client couic2 exists already"), "{said}");
    assert!(said.contains("--rotate gives it a new token"), "{said}");
    assert_eq!(lines(&daemon), ["GET /v1/client/couic2"]);
    let rotated = couicctl(&daemon, &[&args[..], &["--rotate"]].concat()).done();
    assert!(rotated.contains("[[peering.peers]]"));
    assert_eq!(
        lines(&daemon)[1..],
        [
            "GET /v1/client/couic2",
            "DELETE /v1/client/couic2",
            "POST /v1/client"
        ]
    );
    // An admin's token is no peer's, and is not revoked by mistake.
    let args = [
        "peers",
        "invite",
        "ops",
        "--host",
        "couic1.example.org",
        "--rotate",
    ];
    let said = couicctl(&daemon, &args).failed(1);
    assert!(said.contains("is of group admin"), "{said}");
    // What is wrong with the options is told before a client is made.
    let before = lines(&daemon).len();
    for bad in [
        &["--host", "192.0.2.1"][..],
        &["--host", "a b"],
        &["--host", "a", "--ca", "ca.pem"],
    ] {
        couicctl(&daemon, &[&["peers", "invite", "couic3"], bad].concat()).failed(2);
    }
    assert_eq!(lines(&daemon).len(), before);
}
