//! The guard rails: rules that would cut off this host or its operator are refused, unless forced.

use couic_common::Policy;
use couic_e2e::{Frame, HOST_IFACE, HOST_V4, HOST_V6, Lab, OUTSIDE_V4, OUTSIDE_V6};
use serde_json::json;

const SSH: [(&str, &str); 1] = [("SSH_CONNECTION", "198.51.100.22 50022 192.0.2.1 22")];

#[test]
fn couicctl_refuses_to_cut_off_the_host_and_names_the_force_option() {
    let Some(lab) = Lab::addressed() else { return };
    lab.host
        .run("ip", &["route", "add", "default", "via", OUTSIDE_V4]);
    lab.host.run(
        "ip",
        &[
            "-6", "route", "add", "default", "via", OUTSIDE_V6, "dev", HOST_IFACE,
        ],
    );
    let daemon = lab.daemon().start();
    for cidr in [
        HOST_V4,
        "192.0.2.0/24",
        HOST_V6,
        "2001:db8::/64",
        OUTSIDE_V4,
        OUTSIDE_V6,
        "198.51.100.22",
        "198.51.100.0/24",
        "0.0.0.0/0",
        "16.0.0.0/7",
        "::/0",
        "2a00::/18",
        "2000::/3",
        "0.0.0.0",
    ] {
        let refused = daemon.ctl_with_env(&["drop", "add", cidr], &SSH);
        assert_eq!(refused.code, 1, "{cidr}: {refused:?}");
        assert!(refused.stderr.contains("--force"), "{cidr}: {refused:?}");
    }
    assert_eq!(daemon.api().stats().drop_cidr_count, 0);
    assert!(lab.ping(HOST_V4) && lab.ping(HOST_V6));
}

#[test]
fn couicctl_adds_harmless_and_forced_rules() {
    let Some(lab) = Lab::addressed() else { return };
    let daemon = lab.daemon().start();
    for cidr in ["198.51.100.23", "100.64.0.0/10", "2a00::/19"] {
        let done = daemon.ctl_with_env(&["drop", "add", cidr], &SSH);
        assert_eq!(done.code, 0, "{cidr}: {done:?}");
    }
    // What protects everything is the panic switch by another name.
    let refused = daemon.ctl_with_env(&["ignore", "add", "0.0.0.0/0"], &SSH);
    assert_eq!(refused.code, 1, "{refused:?}");
    let done = daemon.ctl_with_env(&["ignore", "add", "0.0.0.0/0", "--force"], &SSH);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stderr.contains("--force went over: width"), "{done:?}");
    let health = daemon.ctl_ok(&["health"]);
    assert!(
        health.contains("ignore covers 100 % of all IPv4"),
        "{health}"
    );
    daemon.ctl_ok(&["ignore", "delete", "0.0.0.0/0"]);
    let forced = daemon.ctl_with_env(&["drop", "add", "198.51.100.22", "--force=caller"], &SSH);
    assert_eq!(forced.code, 0, "{forced:?}");
    assert!(
        forced.stderr.contains("--force went over: caller"),
        "{forced:?}"
    );
    let frames = [
        "198.51.100.22",
        "198.51.100.23",
        "100.64.1.1",
        "198.51.100.24",
    ]
    .map(Frame::v4);
    assert_eq!(lab.wire().arrivals(&frames), [0, 0, 0, 1]);
}

#[test]
fn clients_of_1_0_are_not_guarded_unless_configured() {
    let Some(lab) = Lab::addressed() else { return };
    let body = json!({"cidr": "192.0.2.0/24", "expiration": 0}).to_string();
    let forced = json!({"cidr": "192.0.2.0/24", "expiration": 0, "force": true}).to_string();
    let daemon = lab.daemon().start();
    let _ = daemon
        .api()
        .request("POST", "/v1/drop", Some(&body))
        .expect(201);
    assert!(!lab.ping(HOST_V4));
    drop(daemon);
    let daemon = lab.daemon().config("[guard]\nenforce = true\n").start();
    let refused = daemon
        .api()
        .request("POST", "/v1/drop", Some(&body))
        .expect(422);
    assert!(refused.body.contains("force"), "{refused:?}");
    let job = json!({"action": "add", "entry": {"cidr": "192.0.2.0/24"}});
    let outcome = daemon.api().batch("drop", &[job]);
    assert_eq!(outcome["failed"], 1, "{outcome}");
    assert!(lab.ping(HOST_V4));
    let _ = daemon
        .api()
        .request("POST", "/v1/drop", Some(&forced))
        .expect(201);
    assert!(!lab.ping(HOST_V4));
}

/// The feed holds the host's own network and a line that was cut; the rest of it bans.
#[test]
fn a_set_file_cannot_cut_off_the_host_at_a_reload_nor_at_a_start() {
    let Some(lab) = Lab::addressed() else { return };
    let feed = "192.0.2.0/24\n2001:db8::/64\n203.0.113.0/24\n128.0.0.0/2";
    let daemon = lab.daemon().start();
    daemon.set_file(Policy::Drop, "feed", feed);
    let reload = daemon.ctl(&["sets", "reload"]);
    assert_eq!(reload.code, 1, "{reload:?}");
    for told in [
        "does not end with a line end",
        "sets/drop/feed.couic: 192.0.2.0/24: guard rail host",
        "sets/drop/feed.couic: 128.0.0.0/2: guard rail width",
    ] {
        assert!(reload.stderr.contains(told), "{told}: {reload:?}");
    }
    let is_right = |daemon: &couic_e2e::Daemon<'_>| {
        let frames = ["203.0.113.9", "150.0.0.1"].map(Frame::v4);
        assert_eq!(lab.wire().arrivals(&frames), [0, 1]);
        assert!(lab.ping(HOST_V4) && lab.ping(HOST_V6));
        let health = daemon.ctl_ok(&["health"]);
        assert!(health.contains("192.0.2.0/24 is not in force"), "{health}");
    };
    is_right(&daemon);
    let daemon = daemon.ended_by(nix::sys::signal::Signal::SIGTERM).restart();
    is_right(&daemon);
    drop(daemon);
    // What an operator wants all the same, the configuration says.
    let daemon = lab.daemon().config("[guard]\noff = [\"width\"]\n");
    let daemon = daemon.set_file(Policy::Drop, "feed", feed).start();
    assert_eq!(lab.wire().arrivals(&[Frame::v4("150.0.0.1")]), [0]);
    assert!(lab.ping(HOST_V4));
    drop(daemon);
}

#[test]
fn protection_of_the_session_is_not_deleted_while_a_drop_covers_it() {
    let Some(lab) = Lab::addressed() else { return };
    let daemon = lab.daemon().start();
    let ctl = |args: &[&str]| daemon.ctl_with_env(args, &SSH);
    assert_eq!(ctl(&["ignore", "add", "198.51.100.22"]).code, 0);
    let done = ctl(&["drop", "add", "198.51.100.0/24"]);
    assert_eq!(done.code, 0, "ignore wins: {done:?}");
    let refused = ctl(&["ignore", "delete", "198.51.100.22"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("guard rail caller"), "{refused:?}");
    let frames = ["198.51.100.22", "198.51.100.23"].map(Frame::v4);
    assert_eq!(lab.wire().arrivals(&frames), [1, 0]);
    let forced = ctl(&["ignore", "delete", "198.51.100.22", "--force"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    assert_eq!(lab.wire().arrivals(&frames), [0, 0]);
}
