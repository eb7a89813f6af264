//! Files and directories of other owners and modes: given to the user, kept, or refused with the fix.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
};

use couic_common::Policy;
use couic_e2e::Lab;
use nix::sys::signal::Signal;

use super::{assert_ends_well, assert_works};

#[test]
fn files_left_by_a_daemon_run_as_root_are_given_to_the_user() {
    let Some(lab) = Lab::quiet() else { return };
    let builder =
        lab.daemon()
            .user("nobody", "nogroup")
            .set_file(Policy::Drop, "list", "198.51.100.77/32\n");
    let work = builder.working_dir();
    let log = work.with_file_name("log");
    fs::create_dir_all(work.join("rbac/clients")).expect("make a directory");
    for dir in ["rbac", "rbac/clients"] {
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(work.join(dir), mode).expect("chmod");
    }
    fs::write(log.join("couic.log"), "an old line\n").expect("write");
    let old = [
        "rbac/clients",
        "sets",
        "sets/drop",
        "sets/ignore",
        "sets/drop/list.couic",
    ];
    for path in old
        .map(|path| work.join(path))
        .iter()
        .chain([&log, &log.join("couic.log")])
    {
        chown(path, Some(0), Some(0)).expect("chown");
    }
    let mut daemon = builder.start();
    assert_works(&lab, &daemon);
    assert!(
        daemon.log().starts_with("an old line\n"),
        "{}",
        daemon.log()
    );
    assert!(
        daemon
            .log()
            .contains("belonged to root; they are nobody's now"),
        "{}",
        daemon.log()
    );
    assert_ends_well(&mut daemon);
}

#[test]
fn a_socket_in_a_directory_of_root_is_served_and_not_removed() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab.daemon().user("nobody", "nogroup").keep_home_of_root();
    let mut daemon = builder.start();
    assert_eq!(daemon.api().health().0, 200);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), 0, "{}", daemon.output());
    assert!(
        daemon.log().contains("cannot remove the socket"),
        "{}",
        daemon.log()
    );
    let daemon = daemon.restart();
    assert_eq!(daemon.api().health().0, 200);
}

#[test]
fn a_configuration_accessible_to_others_is_refused_or_logged_with_the_fix() {
    let Some(lab) = Lab::quiet() else { return };
    let secret = "[reporting]\nenabled = true\nwebhook = \"http://127.0.0.1:1/v1/reports/550e8400-e29b-41d4-a716-446655440000\"\n";
    let builder = lab.daemon().config(secret).config_mode(0o666);
    let refusal = builder
        .try_start()
        .expect_err("the configuration is writable by others");
    assert_eq!(refusal.status.code(), Some(64), "{}", refusal.output);
    assert!(
        refusal.output.contains("run chmod o-w "),
        "{}",
        refusal.output
    );

    let daemon = lab.daemon().config(secret).config_mode(0o644).start();
    assert!(daemon.log().contains("&& chmod 0640 "), "{}", daemon.log());
    assert!(!daemon.log().contains("550e8400"), "a secret in the log");
}
