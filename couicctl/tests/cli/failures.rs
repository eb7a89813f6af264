//! Failures of daemon and connection: texts and exit codes.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
};

use couic_testkit::{Reply, StandIn};

use crate::{Run, TOKEN, bare, command, config, couicctl, run};

#[test]
fn the_daemon_refuses() {
    let daemon = StandIn::always(
        422,
        r#"{"code":"invalid","message":"invalid entry","errors":{
            "cidr":{"code":"invalid","message":"no"},"tag":{"code":"invalid","message":"nor this"}}}"#,
    );
    let error = couicctl(&daemon, &["drop", "inspect", "10.0.0.0/8"]).failed(1);
    assert_eq!(error, "error: invalid entry\n  cidr: no\n  tag: nor this\n");
}

#[test]
fn a_token_without_that_right() {
    let daemon = StandIn::always(
        401,
        r#"{"code":"unauthorized","message":"unauthorized","errors":{}}"#,
    );
    let error = couicctl(&daemon, &["stats", "global", "--json"]).failed(1);
    assert!(
        error.starts_with("error: unauthorized\nhint: the token comes from /"),
        "{error}"
    );
    assert!(
        error.contains("client.toml") && !error.contains(TOKEN),
        "{error}"
    );
}

#[test]
fn no_daemon() {
    let daemon = StandIn::always(200, "[]");
    let config = config(&daemon);
    fs::remove_file(&daemon.socket).unwrap();
    let error = run(command(&config, &["drop", "list"]), "").failed(3);
    let socket = daemon.socket.display().to_string();
    assert!(
        error.starts_with(&format!(
            "error: cannot reach couic at {socket}: No such file"
        )),
        "{error}"
    );
    assert!(error.contains("systemctl status couic"), "{error}");
}

/// A filter that stayed attached when the daemon died has no panic switch: the message names the way out.
#[test]
fn without_a_daemon_the_way_to_let_packets_pass_is_named() {
    let daemon = StandIn::always(200, "[]");
    let config = config(&daemon);
    fs::remove_file(&daemon.socket).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&daemon.socket).unwrap());
    for args in [&["panic", "on"][..], &["drop", "list"], &["health"]] {
        let error = run(command(&config, args), "").failed(3);
        assert!(
            error.contains("start it with systemctl start couic")
                && error.contains("couic detach, as root"),
            "{error}"
        );
    }
    let checks = run(command(&config, &["doctor"]), "").out;
    let line = checks.lines().find(|line| line.starts_with("fail  daemon"));
    assert!(
        line.is_some_and(|line| line.contains("couic detach")),
        "{checks}"
    );
}

#[test]
fn something_else_responds() {
    let proxy = StandIn::unix(|_| Reply::text(502, "text/html", "<h1>Bad Gateway</h1>"));
    let error = couicctl(&proxy, &["drop", "list"]).failed(3);
    assert!(
        error.contains("status 502 Bad Gateway without Couic's error body"),
        "{error}"
    );
}

#[test]
fn a_hostile_daemon_cannot_control_the_terminal() {
    let daemon = StandIn::always(
        422,
        r#"{"code":"invalid","message":"\u001b]0;owned\u0007","errors":{}}"#,
    );
    let error = couicctl(&daemon, &["drop", "list"]).failed(1);
    assert_eq!(error, "error: ?]0;owned?\n");
}

#[test]
fn a_client_file_that_is_missing_or_damaged() {
    let daemon = StandIn::always(200, "[]");
    let config = config(&daemon);
    let client_file = daemon.dir.path().join("client.toml");
    fs::write(&client_file, format!("tokken = \"{TOKEN}\"\n")).unwrap();
    let error = run(command(&config, &["drop", "list"]), "").failed(64);
    assert!(error.contains("client.toml contains no `token"), "{error}");
    assert!(!error.contains(TOKEN), "{error}");
    fs::remove_file(&client_file).unwrap();
    let error = run(command(&config, &["drop", "list"]), "").failed(3);
    assert!(
        error.contains("the daemon creates it at its first start"),
        "{error}"
    );
    assert!(daemon.requests().is_empty());
}

/// Runs a command as a user that is neither root nor in group couic, if the test has the privilege. The client file has
/// mode `secret`.
fn unprivileged(daemon: &StandIn, secret: u32) -> Option<Run> {
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let config = config(daemon);
    mode(daemon.dir.path(), 0o755);
    mode(&config, 0o644);
    mode(&daemon.dir.path().join("client.toml"), secret);
    let mut command = command(&config, &["drop", "list"]);
    command.uid(65_534).gid(65_534);
    if command
        .output()
        .is_ok_and(|output| output.status.code() != Some(64))
    {
        return Some(run(command, ""));
    }
    println!("skipped: no privilege to run couicctl as another user");
    None
}

#[test]
fn an_unreadable_client_file() {
    let daemon = StandIn::always(200, "[]");
    let Some(shown) = unprivileged(&daemon, 0o600) else {
        return;
    };
    let error = shown.failed(3);
    assert!(
        error.contains("client.toml cannot be read: Permission denied"),
        "{error}"
    );
    assert!(error.contains("run this as root"), "{error}");
}

#[test]
fn a_socket_without_permission() {
    let daemon = StandIn::always(200, "[]");
    fs::set_permissions(&daemon.socket, Permissions::from_mode(0o770)).unwrap();
    let Some(shown) = unprivileged(&daemon, 0o644) else {
        return;
    };
    let error = shown.failed(3);
    assert!(error.contains("run chmod o-r "), "{error}");
    assert!(error.contains("couic.sock: Permission denied"), "{error}");
    assert!(error.contains("a member of the daemon's group"), "{error}");
}

#[test]
fn usage_is_checked_first() {
    let output = bare()
        .args(["-c", "/nonexistent", "drop", "add", "x"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = bare().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
