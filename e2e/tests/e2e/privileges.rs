//! The privileges of the running daemon and its children, as shown by `/proc` for every thread; and that they suffice.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    time::Duration,
};

use couic_common::Policy;
use couic_e2e::{ATTACHER, Daemon, DaemonBuilder, Frame, Lab, StandIn, until};
use couic_privsep::{
    CAP_BPF, CAP_KILL, CAP_NET_ADMIN, CAP_PERFMON, CAP_SETGID, CAP_SETUID, Caps, ThreadStatus,
    threads_of,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Group, Pid, User},
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

/// A daemon with an isolated notifier from a plugin file, which posts to `chat`.
fn with_plugin<'lab>(
    lab: &'lab Lab,
    folder: &Path,
    chat: &StandIn,
    start: fn(DaemonBuilder<'lab>) -> DaemonBuilder<'lab>,
) -> Option<Daemon<'lab>> {
    let file = lab.binary("plugins/libcouic_plugin_discord.so");
    if !file.is_file() {
        println!("skipped: {} is not built: make test does", file.display());
        return None;
    }
    let plugin = folder.join("chatter.so");
    fs::copy(&file, &plugin).expect("copy the plugin");
    for (path, mode) in [(folder, 0o755), (&*plugin, 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }
    let config = format!(
        "[plugins]\ndir = \"{}\"\n[reporting]\nenabled = true\n[[reporting.notifiers]]\nplugin = \"chatter\"\n\
         config = {{ webhook_url = \"{}\" }}\n",
        folder.display(),
        chat.url("/api/webhooks/1/t0ken")
    );
    Some(start(lab.daemon().config(&config)).start())
}

fn as_daemon(builder: DaemonBuilder<'_>) -> DaemonBuilder<'_> {
    builder.user("daemon", "daemon")
}

fn like_the_unit(builder: DaemonBuilder<'_>) -> DaemonBuilder<'_> {
    builder.unprivileged("+bpf,+net_admin,+perfmon")
}

/// The spawner, a child of the process that restarts it, and the plugin that it has started.
fn spawned(daemon: &Daemon<'_>) -> (u32, u32) {
    let spawner = children(pid(daemon))["plugin-spawner"];
    let (plugin, _) = until("the plugin runs", PATIENCE, || {
        children(spawner).get("plugin-host").copied()
    });
    (spawner, plugin)
}

#[test]
fn isolated_plugins_are_restarted_by_a_process_with_minimal_privileges() {
    let Some(lab) = Lab::quiet() else { return };
    let (chat, folder) = (lab.chat(), tempfile::tempdir().expect("a folder"));
    // Not the user nobody: plugins run as it.
    let (uid, _) = ids("daemon", "daemon");
    let Some(mut daemon) = with_plugin(&lab, folder.path(), &chat, as_daemon) else {
        return;
    };
    let (spawner, plugin) = spawned(&daemon);
    let [own] = &threads(spawner)[..] else {
        panic!("one thread");
    };
    let kept = CAP_SETUID.and(CAP_SETGID).and(CAP_KILL);
    assert_eq!((own.effective, own.permitted), (kept, kept), "{own:?}");
    assert!(
        own.bounding.is_empty() && own.inheritable.is_empty(),
        "{own:?}"
    );
    assert!(
        own.no_new_privs && own.seccomp == 2 && own.uids == [uid; 4],
        "{own:?}"
    );
    for thread in threads(plugin) {
        assert!(thread.is_powerless() && thread.no_new_privs, "{thread:?}");
        assert!(
            thread.seccomp == 2 && thread.bounding.is_empty(),
            "{thread:?}"
        );
        assert_eq!(
            (&thread.uids[..], &thread.groups[..]),
            (&[65_534; 4][..], &[][..])
        );
    }
    daemon.api().add("drop", "198.51.100.1/32", None, 0);
    assert!(chat.next(PATIENCE).json()["embeds"].is_array());

    kill(Pid::from_raw(plugin.cast_signed()), Signal::SIGKILL).expect("kill the plugin");
    let (again, _) = until("it is started again", PATIENCE, || {
        let now = children(spawner).get("plugin-host").copied();
        now.filter(|now| *now != plugin)
    });
    daemon.api().add("drop", "198.51.100.2/32", None, 0);
    assert!(chat.next(PATIENCE).json()["embeds"].is_array());

    kill(Pid::from_raw(spawner.cast_signed()), Signal::SIGKILL).expect("kill the spawner");
    gone(&[spawner, again]);
    until("health names it", PATIENCE, || {
        let (_, health) = daemon.api().health();
        let mut problems = health.notifier_problems.iter();
        problems
            .any(|problem| problem.message.contains("systemctl restart couic"))
            .then_some(())
    });
    daemon.api().add("drop", "198.51.100.3/32", None, 0);
    assert_ends_well(&mut daemon);
    // What was meant for it waits in the spool.
    let daemon = daemon.restart();
    assert!(chat.next(PATIENCE).json()["embeds"].is_array());
    drop(daemon);
}

#[test]
fn plugins_of_an_unprivileged_daemon_run_as_its_user_and_end_when_it_is_killed() {
    let Some(lab) = Lab::quiet() else { return };
    let (chat, folder) = (lab.chat(), tempfile::tempdir().expect("a folder"));
    let (uid, _) = ids("nobody", "nogroup");
    let Some(mut daemon) = with_plugin(&lab, folder.path(), &chat, like_the_unit) else {
        return;
    };
    let (spawner, plugin) = spawned(&daemon);
    for thread in threads(spawner).into_iter().chain(threads(plugin)) {
        assert!(thread.is_powerless() && thread.no_new_privs, "{thread:?}");
        assert!(thread.seccomp == 2 && thread.uids == [uid; 4], "{thread:?}");
    }
    daemon.signal(Signal::SIGKILL);
    assert_eq!(daemon.exit_code(), -9);
    gone(&[spawner, plugin]);
}

/// Waits until the processes have ended; init reaps them.
fn gone(processes: &[u32]) {
    for process in processes {
        until("it is gone", PATIENCE, || {
            let stat = fs::read_to_string(format!("/proc/{process}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z "))
                .then_some(())
        });
    }
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
    assert!(daemon.log().contains("run chmod o-r "), "{}", daemon.log());
    assert!(!daemon.log().contains("550e8400"), "a secret in the log");
}
