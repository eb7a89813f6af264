//! Start, refused start, stop, and restart after a crash.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt, chown},
};

use couic_common::Policy;
use couic_e2e::{Frame, HOST_IFACE, Lab};
use couic_testkit::Connection;
use nix::sys::signal::Signal;

#[test]
fn signals_stop_the_daemon_with_exit_code_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let Some(lab) = Lab::quiet() else { return };
        let mut daemon = lab.daemon().start();
        daemon.signal(signal);
        assert_eq!(daemon.exit_code(), 0, "{signal}\n{}", daemon.output());
    }
}

#[test]
fn a_stalled_client_does_not_delay_shutdown() {
    let Some(lab) = Lab::quiet() else { return };
    let mut daemon = lab.daemon().start();
    // An incomplete request.
    let mut stalled = Connection::unix(daemon.socket()).expect("connect");
    stalled.send("POST /v1/drop HTTP/1.1\r\nHost: x\r\n");
    assert_eq!(daemon.api().health().0, 200);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), 0, "{}", daemon.output());
}

#[test]
fn the_socket_of_a_killed_daemon_is_replaced() {
    let Some(lab) = Lab::quiet() else { return };
    let mut daemon = lab
        .daemon()
        .set_file(Policy::Drop, "list", "198.51.100.7/32\n")
        .start();
    daemon.signal(Signal::SIGKILL);
    assert_eq!(daemon.exit_code(), -9);
    let left = fs::symlink_metadata(daemon.socket()).expect("the socket of the killed one");
    assert!(left.file_type().is_socket());
    let daemon = daemon.restart();
    assert_eq!(daemon.api().health().0, 200);
    assert!(lab.kernel_mode(HOST_IFACE).is_some());
    assert_eq!(
        lab.wire()
            .arrivals(&["198.51.100.7", "198.51.100.8"].map(Frame::v4)),
        [0, 1]
    );
}

#[test]
fn the_daemon_restarts_repeatedly() {
    let Some(lab) = Lab::quiet() else { return };
    let mut daemon = lab.daemon().start();
    for round in 0..3 {
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit_code(), 0, "round {round}");
        daemon = daemon.restart();
    }
    assert_eq!(daemon.api().health().0, 200);
}

#[test]
fn tokens_survive_a_restart() {
    let Some(lab) = Lab::quiet() else { return };
    let mut daemon = lab.daemon().start();
    let made = daemon
        .api()
        .request(
            "POST",
            "/v1/client",
            Some(r#"{"name":"watcher","group":"clientrw"}"#),
        )
        .expect(201)
        .json();
    let token = made["token"].as_str().expect("a token").to_owned();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), 0);
    let daemon = daemon.restart();
    daemon
        .api_as(&token)
        .add("drop", "198.51.100.7/32", None, 0);
    assert!(!lab.wire().passes(&Frame::v4("198.51.100.7")));
    assert!(!daemon.output().contains(&token), "a token is in the log");
}

#[test]
fn the_socket_is_for_owner_and_group() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mode = fs::metadata(daemon.socket())
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o770);
}

#[test]
fn a_working_directory_of_another_user_is_refused_and_named() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab.daemon();
    let dir = builder.working_dir();
    chown(&dir, Some(65534), None).expect("chown");
    let refusal = builder
        .try_start()
        .expect_err("the directory belongs to another user");
    assert!(!refusal.status.success());
    let named = refusal.output.contains(&dir.display().to_string());
    assert!(named, "{}", refusal.output);
    assert_eq!(lab.kernel_mode(HOST_IFACE), None);
}

#[test]
fn a_missing_working_directory_is_refused_and_named() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab.daemon();
    let dir = builder.working_dir();
    fs::remove_dir_all(&dir).expect("remove the directory");
    let refusal = builder.try_start().expect_err("there is no directory");
    assert!(!refusal.status.success());
    let named = refusal.output.contains(&dir.display().to_string());
    assert!(named, "{}", refusal.output);
    assert!(!dir.exists(), "it must not be created");
}

#[test]
fn a_client_file_readable_by_others_is_refused_and_named() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab.daemon();
    let dir = builder.working_dir().join("rbac/clients");
    fs::create_dir_all(&dir).expect("make the directory");
    let file = dir.join("open.toml");
    let token = "11111111-2222-4333-8444-555555555555";
    fs::write(&file, format!("token = \"{token}\"\ngroup = \"admin\"\n")).expect("write");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("chmod");
    let refusal = builder
        .try_start()
        .expect_err("the file is readable for all");
    assert!(!refusal.status.success());
    assert!(refusal.output.contains("open.toml"), "{}", refusal.output);
    assert!(!refusal.output.contains(token), "a token is in the output");
}

#[test]
fn an_invalid_configuration_exits_64_and_lists_every_mistake() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab
        .daemon()
        .mode("sideways")
        .config("[limits]\ndrop_entries = 0\n");
    let refusal = builder.try_start().expect_err("the configuration is wrong");
    assert_eq!(refusal.status.code(), Some(64), "{}", refusal.output);
    for part in ["couic.toml", "operation_mode", "drop_entries"] {
        assert!(refusal.output.contains(part), "{part}: {}", refusal.output);
    }
    assert_eq!(lab.kernel_mode(HOST_IFACE), None);
}
