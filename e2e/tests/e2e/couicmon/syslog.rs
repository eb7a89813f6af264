//! sshd's messages, written by `logger` to a socket of couicmon.

use couic_e2e::{Lab, Monitor};
use tempfile::TempDir;

use super::{NAMED, OFFENDER, VISITOR, banned, crowded, only, servers::is_there, until_dropped};

fn log(lab: &Lab, socket: &str, message: &str) {
    let args = [
        "--socket",
        socket,
        "--socket-errors=on",
        "-d",
        "-i",
        "-t",
        "sshd",
        "-p",
        "auth.info",
        message,
    ];
    lab.host.run("logger", &args);
}

#[test]
fn a_guesser_of_passwords_of_sshd_is_dropped_and_a_user_is_not() {
    let Some(lab) = crowded() else { return };
    if !is_there("logger", "--version") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let daemon = lab.monitored_daemon().start();
    let socket = format!("{}/log.sock", dir.path().display());
    let config = format!(
        "[source.auth]\nunix = \"{socket}\"\nformat = \"sshd\"\n\
         [jail.ssh]\nsource = \"auth\"\nlogin = [\"failed\"]\nrate = \"5 per 10m\"\nban = \"1h\"\n"
    );
    let _monitor = Monitor::start(&lab, &daemon, dir.path(), &config);
    log(
        &lab,
        &socket,
        &format!("Failed password for alice from {VISITOR} port 50000 ssh2"),
    );
    log(
        &lab,
        &socket,
        &format!("Accepted publickey for alice from {VISITOR} port 50001 ssh2: ED25519 SHA256:x"),
    );
    for port in 40_000..40_006 {
        log(
            &lab,
            &socket,
            &format!("Failed password for root from {OFFENDER} port {port} ssh2"),
        );
        // A user name is the client's text.
        log(
            &lab,
            &socket,
            &format!(
                "Failed password for invalid user x from {NAMED} port 22 ssh2 from {OFFENDER} port {port} ssh2"
            ),
        );
        log(
            &lab,
            &socket,
            &format!("Invalid user a from {NAMED} port 22 from {OFFENDER} port {port}"),
        );
    }
    until_dropped(&lab, OFFENDER);
    assert_eq!(banned(&daemon), only(&[OFFENDER]));
    let why = daemon.ctl_ok(&["check", OFFENDER]);
    assert!(
        why.contains("mon-ssh") && why.contains("Failed password for"),
        "{why}"
    );
}
