//! `clients`.

use couic_testkit::{Reply, StandIn};
use serde_json::json;

use crate::couicctl;

const WEB: &str =
    r#"{"name":"web","group":"clientrw","token":"00000000-0000-0000-0000-000000000001"}"#;
const TABLE: &str = "\
┌──────┬──────────┬──────────────────────────────────────┐
│ Name ┆ Group    ┆ Token                                │
╞══════╪══════════╪══════════════════════════════════════╡
│ web  ┆ clientrw ┆ 00000000-0000-0000-0000-000000000001 │
└──────┴──────────┴──────────────────────────────────────┘
";

fn daemon() -> StandIn {
    StandIn::unix(|seen| match seen.line() {
        "POST /v1/client" => Reply::json(201, WEB),
        "GET /v1/client" => Reply::json(200, format!("[{WEB}]")),
        "GET /v1/client/web" => Reply::json(200, WEB),
        "DELETE /v1/client/web" => Reply::json(204, ""),
        other => panic!("{other}"),
    })
}

#[test]
fn every_command() {
    let daemon = daemon();
    let made = couicctl(&daemon, &["clients", "add", "-n", "web", "-g", "clientrw"]);
    assert_eq!(made.done(), TABLE);
    assert_eq!(
        daemon.only().json(),
        json!({"name": "web", "group": "clientrw"})
    );
    assert_eq!(couicctl(&daemon, &["clients", "list"]).done(), TABLE);
    assert_eq!(
        couicctl(&daemon, &["clients", "inspect", "web"]).done(),
        TABLE
    );
    assert_eq!(
        couicctl(&daemon, &["clients", "delete", "web"]).done(),
        "Client web deleted, its token is revoked.\n"
    );
}

#[test]
fn as_json() {
    let daemon = daemon();
    let web: serde_json::Value = serde_json::from_str(WEB).unwrap();
    let made = couicctl(
        &daemon,
        &["clients", "add", "-n", "web", "-g", "clientrw", "--json"],
    );
    assert_eq!(made.json(), web);
    assert_eq!(
        couicctl(&daemon, &["clients", "list", "--json"]).json(),
        json!([web])
    );
    assert_eq!(
        couicctl(&daemon, &["--json", "clients", "inspect", "web"]).json(),
        web
    );
    let deleted = couicctl(&daemon, &["clients", "delete", "web", "--json"]).json();
    assert_eq!(deleted, json!({"name": "web", "deleted": true}));
}

#[test]
fn invalid_arguments() {
    let daemon = daemon();
    for args in [
        &["clients", "add", "-n", "w b", "-g", "admin"][..],
        &["clients", "add", "-n", "web", "-g", "root"],
        &["clients", "add", "-n", "web"],
        &["clients", "inspect", "../x"],
    ] {
        couicctl(&daemon, args).failed(2);
    }
    assert!(daemon.requests().is_empty());
}
