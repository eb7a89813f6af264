//! The configuration file: both modes, and its mistakes.

use std::fs;

use couic_testkit::{Reply, StandIn};

use crate::{TOKEN, command, run};

#[test]
fn remote_mode() {
    let daemon = StandIn::tcp(|_| Reply::json(200, "[]"));
    let address = daemon.address.unwrap();
    let path = daemon.dir.path().join("remote.toml");
    let text = format!(
        "mode = \"remote\"\ntls = false\nhost = \"{}\"\nport = {}\ntoken = \"{TOKEN}\"\n",
        address.ip(),
        address.port()
    );
    fs::write(&path, text).unwrap();
    let shown = run(command(&path, &["clients", "list", "--json"]), "").json();
    assert_eq!(shown, serde_json::json!([]));
    assert_eq!(
        daemon.only().header("authorization"),
        Some(&*format!("Bearer {TOKEN}"))
    );
}

#[test]
fn remote_mode_without_a_listener() {
    let dir = tempfile::tempdir().unwrap();
    // Bound, so that the port stays ours; connections to the neighbouring address are refused.
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let path = dir.path().join("remote.toml");
    let text = format!(
        "mode = \"remote\"\ntls = false\nhost = \"127.0.0.2\"\nport = {port}\ntoken = \"{TOKEN}\"\n"
    );
    fs::write(&path, text).unwrap();
    let error = run(command(&path, &["drop", "list"]), "").failed(3);
    assert!(
        error.contains(&format!("127.0.0.2:{port}: Connection refused")),
        "{error}"
    );
}

#[test]
fn every_mistake_is_reported_with_64() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    let text = format!("mode = \"remote\"\nport = 70000\nsoket = \"/x\"\ntoken = \"{TOKEN}x\"\n");
    fs::write(&path, text).unwrap();
    let error = run(command(&path, &["drop", "list"]), "").failed(64);
    let shown = path.display();
    assert_eq!(
        error,
        format!(
            "error: the configuration is not usable, nothing was done\n  \
             {shown}: tls: is missing: mode \"remote\" requires it\n  \
             {shown}: host: is missing: mode \"remote\" requires it\n  \
             {shown}:2: port: 70000 is not in the range from 1 to 65535\n  \
             {shown}:3: soket: unknown key; known here: asn_url, ca_file, client_file, host, mode, port, socket, tls, token\n  \
             {shown}:4: token: is not a UUID (not shown here: it is a secret)\n"
        )
    );
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.toml");
    let error = run(command(&path, &["drop", "list"]), "").failed(64);
    assert!(
        error.contains("none.toml: cannot be read: No such file"),
        "{error}"
    );
}

#[test]
fn a_ca_file_that_is_not_usable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    let text = format!(
        "mode = \"remote\"\ntls = true\nhost = \"localhost\"\nport = 1\ntoken = \"{TOKEN}\"\nca_file = \"/nonexistent/ca.pem\"\n"
    );
    fs::write(&path, text).unwrap();
    let error = run(command(&path, &["drop", "list"]), "").failed(64);
    assert!(
        error.contains("ca_file /nonexistent/ca.pem cannot be read"),
        "{error}"
    );
}
