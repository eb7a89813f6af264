//! The panic switch and pending confirmations, tested with frames.

use std::time::Duration;

use couic_common::Policy;
use couic_e2e::{Frame, Lab, until};
use nix::sys::signal::Signal;
use serde_json::json;

/// Generous: a debug build takes seconds to start on a busy machine.
const SOON: Duration = Duration::from_secs(60);

const BANNED: &str = "198.51.100.7";

#[test]
fn panic_on_passes_everything_at_once_and_panic_off_restores_all_rules() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let (api, mut wire) = (daemon.api(), lab.wire());
    let switch = |on: bool| {
        let body = json!({"on": on, "reason": "a test"}).to_string();
        let _ = api.request("PUT", "/v1/panic", Some(&body)).expect(200);
    };
    // A host, a prefix of every family, and one below an ignore rule: each path through the tables.
    let rules = [
        "198.51.100.7/32",
        "10.0.0.0/8",
        "203.0.113.0/24",
        "2001:db8:1::/48",
        "2001:db8:2::7/128",
        "2a00::/12",
    ];
    rules
        .iter()
        .for_each(|rule| api.add("drop", rule, Some("banned"), 0));
    let frames = [
        Frame::v4(BANNED),
        Frame::v4("10.1.2.3"),
        Frame::v4("203.0.113.9"),
        Frame::v6("2001:db8:1::5"),
        Frame::v6("2001:db8:2::7"),
        Frame::v6("2a00::1"),
    ];
    assert_eq!(wire.arrivals(&frames), [0; 6]);
    switch(true);
    let before = api.stats().xdp;
    assert_eq!(wire.arrivals(&frames), [1; 6]);
    // A truncated IPv4 header.
    wire.arrivals(&[Frame::raw(0x0800, &[0x45; 8])]);
    let after = api.stats().xdp;
    assert_eq!(after.xdp_aborted, before.xdp_aborted, "nothing is aborted");
    assert_eq!(after.xdp_drop, before.xdp_drop, "nothing is dropped");
    assert!(
        after.xdp_pass.rx_packets >= before.xdp_pass.rx_packets + 7,
        "and all of it counts as passed"
    );
    api.add("drop", "192.0.2.7/32", None, 0);
    assert!(wire.passes(&Frame::v4("192.0.2.7")));
    let (status, health) = api.health();
    assert_eq!(status, 503);
    assert!(health.panic_since.is_some());
    switch(false);
    assert_eq!(wire.arrivals(&frames), [0; 6]);
    assert!(!wire.passes(&Frame::v4("192.0.2.7")), "changed meanwhile");
    assert_eq!(api.health().0, 200);
    until("the log says so", SOON, || {
        daemon.log().contains("PANIC IS ON").then_some(())
    });
}

#[test]
fn panic_survives_kill_and_restart() {
    let Some(lab) = Lab::quiet() else { return };
    let banned = format!("{BANNED}/32\n");
    let mut daemon = lab.daemon().set_file(Policy::Drop, "s", &banned).start();
    let (mut wire, frame) = (lab.wire(), Frame::v4(BANNED));
    assert!(!wire.passes(&frame));
    daemon.ctl_ok(&["panic", "on", "--reason", "locked out"]);
    assert!(wire.passes(&frame));
    daemon.signal(Signal::SIGKILL);
    daemon.exit_code();
    let daemon = daemon.restart();
    assert!(wire.passes(&frame), "the switch stays on over the start");
    let shown = daemon.ctl_ok(&["panic"]);
    assert!(
        shown.contains("PANIC IS ON")
            && shown.contains("by couicctl")
            && shown.contains("locked out"),
        "{shown}"
    );
    let listed = daemon.ctl(&["drop", "list", "-q"]);
    assert_eq!((listed.code, listed.stdout.as_str()), (0, banned.as_str()));
    assert!(listed.stderr.contains("PANIC IS ON"), "{}", listed.stderr);
    let doctor = daemon.ctl(&["doctor"]);
    assert!(
        doctor.code == 1 && doctor.stdout.contains("the panic switch is on"),
        "{doctor:?}"
    );
    daemon.ctl_ok(&["panic", "off"]);
    assert!(!wire.passes(&frame));
}

#[test]
fn a_confirmed_change_stays_and_another_is_undone() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    let ban = |ip: &str, within: &str| {
        let done = daemon.ctl(&["drop", "add", ip, "--confirm-within", within]);
        assert_eq!(done.code, 0, "{done:?}");
    };
    ban(BANNED, "1h");
    assert!(!wire.passes(&Frame::v4(BANNED)));
    daemon.ctl_ok(&["confirm"]);
    ban("198.51.100.8", "1s");
    until("the daemon undoes the change", SOON, || {
        wire.passes(&Frame::v4("198.51.100.8")).then_some(())
    });
    assert!(!wire.passes(&Frame::v4(BANNED)), "the confirmed ban stays");
    // The undo is in force before the daemon has recorded it.
    until("the daemon says that it was undone", SOON, || {
        let late = daemon.ctl(&["confirm"]);
        (late.code == 1 && late.stderr.contains("was undone")).then_some(())
    });
}

/// Whether the daemon is killed within the window or after it: the undo record is on disk before the change is made.
#[test]
fn a_crash_before_confirmation_does_not_make_a_change_permanent() {
    let Some(lab) = Lab::quiet() else { return };
    let mut daemon = lab
        .daemon()
        .set_file(Policy::Drop, "s", &format!("{BANNED}/32\n"))
        .start();
    let (mut wire, frame) = (lab.wire(), Frame::v4(BANNED));
    assert!(!wire.passes(&frame));
    for change in [
        &["sets", "delete", "drop", "s"][..],
        &["sets", "reload"],
        &["drop", "add", "198.51.100.9"],
    ] {
        let done = daemon.ctl(&[change, &["--confirm-within", "10s"]].concat());
        assert_eq!(done.code, 0, "{done:?}");
    }
    daemon.signal(Signal::SIGKILL);
    daemon.exit_code();
    let daemon = daemon.restart();
    until("the sets are as before", SOON, || {
        (!wire.passes(&frame)).then_some(())
    });
    // The journal restores the ban, but the pending change is still undone.
    until("the ban is undone", SOON, || {
        wire.passes(&Frame::v4("198.51.100.9")).then_some(())
    });
    until("nothing waits", SOON, || {
        let listed = daemon.ctl_ok(&["--json", "confirm", "list"]);
        listed.contains("\"pending\": []").then_some(())
    });
    assert_eq!(
        daemon.ctl_ok(&["drop", "list", "-q"]),
        format!("{BANNED}/32\n")
    );
}
