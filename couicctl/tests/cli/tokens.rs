//! `clients`.

use couic_testkit::{Reply, StandIn};
use serde_json::json;

use crate::couicctl;

const WEB: &str =
    r#"{"name":"web","group":"clientrw","token":"00000000-0000-0000-0000-000000000001"}"#;
const TABLE: &str = "web\tclientrw\t00000000-0000-0000-0000-000000000001\n";

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
    let listed = couicctl(&daemon, &["clients", "list"]).done();
    assert_eq!(listed, "web\tclientrw\n", "no token");
    let listed = couicctl(&daemon, &["clients", "list", "--show-tokens"]).done();
    assert_eq!(listed, TABLE);
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
    let listed = couicctl(&daemon, &["clients", "list", "--json", "--show-tokens"]).json();
    assert_eq!(listed, json!([web]));
    let listed = couicctl(&daemon, &["clients", "list", "--json"]).json();
    assert_eq!(listed, json!([{"name": "web", "group": "clientrw"}]));
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

/// Rotates the token of `web`, and of couicctl itself.
fn rotating() -> StandIn {
    let client = |name: &str, token: &str| {
        Reply::json(
            200,
            json!({"name": name, "group": "admin", "token": token}).to_string(),
        )
    };
    StandIn::unix(move |seen| match seen.line() {
        "GET /v1/client/web" => Reply::json(200, WEB),
        "GET /v1/client/couicctl" => client("couicctl", crate::TOKEN),
        "POST /v1/client/web/rotate" => client("web", NEW),
        "POST /v1/client/couicctl/rotate" => client("couicctl", NEW),
        "GET /v1/client" => Reply::json(200, format!("[{WEB}]")),
        _ => Reply::json(
            404,
            r#"{"code":"not_found","message":"there is no client","errors":{}}"#,
        ),
    })
}

const NEW: &str = "00000000-0000-0000-0000-0000000000ff";

#[test]
fn a_token_is_replaced_with_time_for_the_old_one() {
    let daemon = rotating();
    let shown = couicctl(&daemon, &["clients", "rotate", "web"]);
    assert_eq!((shown.code, shown.out), (0, format!("web\tadmin\t{NEW}\n")));
    assert_eq!(
        shown.err,
        "warning: the old token of web is accepted for 1m\n"
    );
    assert_eq!(daemon.requests()[1].json(), json!({"grace": 60}));
    let shown = couicctl(&daemon, &["clients", "rotate", "web", "--grace", "0"]);
    assert!(shown.err.ends_with("is refused from now on\n"), "{shown:?}");
    couicctl(&daemon, &["clients", "rotate", "web", "--grace", "2d"]).failed(2);
}

#[test]
fn couicctl_writes_its_own_new_token_into_its_file() {
    let daemon = rotating();
    let config = crate::config(&daemon);
    let file = daemon.dir.path().join("client.toml");
    let done = crate::run(
        crate::command(&config, &["clients", "rotate", "couicctl"]),
        "",
    );
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.err.contains("client.toml has the new token"),
        "{done:?}"
    );
    let text = std::fs::read_to_string(file).unwrap();
    assert_eq!(text, format!("token = \"{NEW}\"\ngroup = \"admin\"\n"));
}

#[test]
fn a_name_that_is_nearly_right_is_suggested() {
    let error = couicctl(&rotating(), &["clients", "rotate", "wbe"]).failed(1);
    assert_eq!(
        error,
        "error: there is no client\nhint: did you mean web?\n"
    );
}

/// A daemon that keeps hashes: it makes `mon`, and does not show its token again.
fn hashing() -> StandIn {
    StandIn::unix(|seen| match seen.line() {
        "POST /v1/client" => {
            let mut made = seen.json();
            made["token"] = json!(NEW);
            Reply::json(201, made.to_string())
        }
        "GET /v1/client" => Reply::json(200, format!("[{HIDDEN}]")),
        "GET /v1/client/mon" => Reply::json(200, HIDDEN),
        "POST /v1/client/mon/rotate" => Reply::json(200, HIDDEN.replace(ZEROS, NEW)),
        "DELETE /v1/client/mon" => Reply::json(204, ""),
        other => panic!("{other}"),
    })
}

const ZEROS: &str = "00000000-0000-0000-0000-000000000000";
const HIDDEN: &str = r#"{"name":"mon","group":"clientrw","token":"00000000-0000-0000-0000-000000000000","limits":{"tags":["mon-*"]}}"#;

#[test]
fn limits_are_sent_and_shown() {
    let daemon = hashing();
    let args = "clients add -n mon -g clientrw --policy drop --tag mon-*,x --set feed-* --widest 24,48 --longest 7d --adds-per-minute 60 --expires 1d";
    let args: Vec<&str> = args.split(' ').collect();
    let shown = couicctl(&daemon, &args).done();
    assert_eq!(
        shown,
        format!(
            "mon\tclientrw\t{NEW}\tdrop; tags mon-*, x; sets feed-*; IPv4 /24; IPv6 /48; up to 7d; 60 adds a minute\n"
        )
    );
    let limits = json!({"policies": ["drop"], "tags": ["mon-*", "x"], "sets": ["feed-*"], "widest_ipv4": 24, "widest_ipv6": 48,
        "longest": 604_800, "adds_per_minute": 60, "token_lifetime": 86_400});
    let sent = json!({"name": "mon", "group": "clientrw", "limits": limits});
    assert_eq!(daemon.only().json(), sent);
    for bad in [
        ["--widest", "33"],
        ["--longest", "7"],
        ["--policy", "Drop"],
        ["--owner", "root"],
    ] {
        let args = [&["clients", "add", "-n", "mon", "-g", "clientrw"], &bad[..]].concat();
        couicctl(&daemon, &args).failed(2);
    }
}

/// A daemon that ignores limits would have made a client that may do everything.
#[test]
fn a_daemon_without_limits_makes_no_client() {
    let daemon = StandIn::unix(|seen| match seen.line() {
        "POST /v1/client" => Reply::json(201, WEB),
        "DELETE /v1/client/web" => Reply::json(204, ""),
        other => panic!("{other}"),
    });
    let args = [
        "clients", "add", "-n", "web", "-g", "clientrw", "--tag", "x",
    ];
    let told = couicctl(&daemon, &args).failed(1);
    assert!(
        told.contains("without limits of clients") && told.contains("was not created"),
        "{told}"
    );
}

#[test]
fn a_token_goes_to_a_file_and_a_rotated_one_takes_its_place() {
    let daemon = hashing();
    let file = daemon.dir.path().join("mon.token");
    let path = file.to_str().unwrap();
    let args = [
        "clients",
        "add",
        "-n",
        "mon",
        "-g",
        "clientrw",
        "--token-file",
        path,
    ];
    let done = couicctl(&daemon, &args);
    assert_eq!((done.code, done.out.as_str()), (0, "mon\tclientrw\n"));
    assert_eq!(done.err, format!("the token is in {path}\n"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{NEW}\n"));
    let again = couicctl(&daemon, &args).failed(2);
    assert!(again.contains("exists already"), "{again}");
    assert_eq!(daemon.requests().len(), 1, "no client was made");
    let args = ["clients", "rotate", "mon", "--token-file", path, "--json"];
    let done = couicctl(&daemon, &args);
    let shown: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(
        (&shown["token"], &shown["token_file"]),
        (&json!(null), &json!(path))
    );
    assert_eq!(
        done.err,
        "warning: the old token of mon is accepted for 1m\n"
    );
    let nowhere = [
        "clients",
        "add",
        "-n",
        "mon",
        "-g",
        "clientrw",
        "--token-file",
        "/nonexistent/x",
    ];
    couicctl(&daemon, &nowhere).failed(1);
}

#[test]
fn a_token_that_is_not_known_is_not_shown_as_zeros() {
    let daemon = hashing();
    for args in [
        &["clients", "inspect", "mon"][..],
        &["clients", "list", "--show-tokens"],
    ] {
        let done = couicctl(&daemon, args);
        assert_eq!(
            (done.code, done.out.as_str()),
            (0, "mon\tclientrw\ttags mon-*\n")
        );
        assert!(done.err.contains("a token is shown once"), "{done:?}");
    }
    let shown = couicctl(&daemon, &["clients", "inspect", "mon", "--json"]).json();
    assert_eq!(
        shown,
        json!({"name": "mon", "group": "clientrw", "limits": {"tags": ["mon-*"]}})
    );
}
