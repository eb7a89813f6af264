//! The privileges of the running daemon and its children, as shown by `/proc` for every thread; and that they suffice.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

mod files;
mod plugins;

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt, time::Duration};

use couic_e2e::{ATTACHER, Daemon, Frame, Lab};
use couic_privsep::{CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, Caps, ThreadStatus, threads_of};
use nix::{
    sys::signal::Signal,
    unistd::{Group, User},
};

const PATIENCE: Duration = Duration::from_secs(90);

fn threads(pid: u32) -> Vec<ThreadStatus> {
    let threads = threads_of(pid).expect("a running process");
    assert!(!threads.is_empty());
    threads
}

fn pid(daemon: &Daemon<'_>) -> u32 {
    daemon.pid().as_raw().cast_unsigned()
}

/// Asserts the confinement of all threads of the serving process.
fn assert_confined(daemon: &Daemon<'_>, uid: u32, gid: u32) {
    let all = threads(pid(daemon));
    // The main thread, logging, the API's, expiry, heartbeat, watch.
    assert!(all.len() > 5, "{all:?}");
    for thread in all {
        assert!(thread.is_powerless() && thread.no_new_privs, "{thread:?}");
        assert_eq!(thread.seccomp, 2, "{thread:?}");
        assert_eq!(
            (&thread.uids[..], &thread.gids[..]),
            (&[uid; 4][..], &[gid; 4][..])
        );
    }
    let log = daemon.log();
    assert!(log.contains("no capabilities on "), "{log}");
    assert_keeper_confined(daemon, uid, gid);
}

/// Asserts the confinement of the attacher, the only process that may attach.
fn assert_keeper_confined(daemon: &Daemon<'_>, uid: u32, gid: u32) {
    let children = children(pid(daemon));
    let attacher = threads(*children.get(ATTACHER).expect("an attacher"));
    assert_eq!(attacher.len(), 1, "{attacher:?}");
    let filtering = CAP_NET_ADMIN.and(CAP_BPF).and(CAP_PERFMON);
    for thread in attacher {
        assert_eq!(
            (thread.permitted, thread.effective),
            (filtering, filtering),
            "{thread:?}"
        );
        assert_eq!(
            (thread.inheritable, thread.ambient),
            (Caps::NONE, Caps::NONE),
            "{thread:?}"
        );
        assert!(thread.no_new_privs, "{thread:?}");
        assert_eq!(thread.seccomp, 2, "{thread:?}");
        assert_eq!((thread.uids[0], thread.gids[0]), (uid, gid), "{thread:?}");
    }
}

/// Exercises everything that writes a file or queries the kernel.
fn assert_works(lab: &Lab, daemon: &Daemon<'_>) {
    let api = daemon.api();
    api.add("drop", "198.51.100.7/32", None, 0);
    daemon.ctl_ok(&["sets", "create", "drop", "made", "198.51.100.9/32"]);
    daemon.ctl_ok(&["sets", "reload"]);
    daemon.ctl_ok(&["clients", "add", "-n", "watcher", "-g", "monitoring"]);
    let frames = ["198.51.100.7", "198.51.100.8", "198.51.100.9"].map(Frame::v4);
    assert_eq!(lab.wire().arrivals(&frames), [0, 1, 0]);
    daemon.ctl_ok(&["clients", "delete", "watcher"]);
    daemon.ctl_ok(&["sets", "delete", "drop", "made"]);
    // The guard queries the kernel's addresses and routes.
    assert_ne!(daemon.ctl(&["drop", "add", "127.0.0.0/8"]).code, 0);
    let metrics = api
        .request("GET", "/v1/metrics?format=prometheus", None)
        .expect(200);
    assert!(metrics.body.contains("process_open_fds"), "{metrics:?}");
    assert_eq!(api.health().0, 200);
}

fn assert_ends_well(daemon: &mut Daemon<'_>) {
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), 0, "{}", daemon.output());
    assert!(!daemon.socket().exists(), "{}", daemon.output());
}

fn ids(user: &str, group: &str) -> (u32, u32) {
    let user = User::from_name(user).ok().flatten().expect("a user");
    let group = Group::from_name(group).ok().flatten().expect("a group");
    (user.uid.as_raw(), group.gid.as_raw())
}

#[test]
fn a_daemon_started_as_root_runs_as_the_configured_user_without_capabilities() {
    let Some(lab) = Lab::quiet() else { return };
    let (uid, gid) = ids("nobody", "nogroup");
    let mut daemon = lab.daemon().user("nobody", "nogroup").start();
    assert_confined(&daemon, uid, gid);
    for thread in threads(pid(&daemon)) {
        assert!(thread.bounding.is_empty(), "{thread:?}");
        assert_eq!(thread.groups, [gid], "{thread:?}");
    }
    assert_works(&lab, &daemon);
    // Not readable by other processes of the same user.
    let environ = format!("/proc/{}/environ", daemon.pid());
    assert_eq!(fs::metadata(environ).expect("a running process").uid(), 0);
    assert_ends_well(&mut daemon);
    let daemon = daemon.restart();
    assert_confined(&daemon, uid, gid);
}

#[test]
fn a_missing_capability_is_refused_by_name() {
    let Some(lab) = Lab::quiet() else { return };
    for (having, lacking) in [
        (
            "+bpf,+net_admin",
            "couic lacks CAP_PERFMON (lets the verifier",
        ),
        ("+net_admin,+perfmon", "couic lacks CAP_BPF (loads"),
        ("+bpf,+perfmon", "couic lacks CAP_NET_ADMIN (attaches"),
    ] {
        let refusal = lab.daemon().unprivileged(having).try_start().unwrap_err();
        assert_eq!(refusal.status.code(), Some(1));
        let message = refusal.output.lines().last().unwrap_or_default();
        assert!(message.contains(lacking), "{message}");
        assert!(
            message.contains("--cap-add ") && message.contains("setcap "),
            "{message}"
        );
    }
}

#[test]
fn a_daemon_configured_as_root_has_no_capabilities() {
    let Some(lab) = Lab::quiet() else { return };
    let mut daemon = lab.daemon().start();
    assert_confined(&daemon, 0, 0);
    assert!(threads(pid(&daemon)).iter().all(|t| t.bounding.is_empty()));
    assert_works(&lab, &daemon);
    assert_ends_well(&mut daemon);
}

#[test]
fn a_daemon_started_as_the_user_with_three_capabilities_drops_them_all() {
    let Some(lab) = Lab::quiet() else { return };
    let (uid, gid) = ids("nobody", "nogroup");
    let builder = lab.daemon().unprivileged("+bpf,+net_admin,+perfmon");
    let mut daemon = builder.start();
    assert_confined(&daemon, uid, gid);
    assert_works(&lab, &daemon);
    assert_ends_well(&mut daemon);
}

/// The children of a process: role and PID.
fn children(of: u32) -> BTreeMap<String, u32> {
    let tasks = fs::read_dir(format!("/proc/{of}/task"));
    let mut found = BTreeMap::new();
    // A thread that has ended has no children.
    for task in tasks.into_iter().flatten().flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let words = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            let role = words.split('\0').nth(1).unwrap_or_default().to_owned();
            found.insert(role, child.parse().expect("a number"));
        }
    }
    found
}
