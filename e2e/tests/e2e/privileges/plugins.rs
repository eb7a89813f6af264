//! Isolated plugins and the process that starts them: their privileges, their restart, and their end with the daemon.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use couic_e2e::{Daemon, DaemonBuilder, Lab, StandIn, until};
use couic_privsep::{CAP_KILL, CAP_SETGID, CAP_SETUID};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{PATIENCE, assert_ends_well, children, ids, pid, threads};

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

fn as_nobody(builder: DaemonBuilder<'_>) -> DaemonBuilder<'_> {
    builder.user("nobody", "nogroup")
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
    // Its notifications wait in the spool.
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
    let notes = daemon.api().health().1.notes;
    let shares = |note: &String| note.starts_with("isolated notifiers run as nobody, ");
    assert!(notes.iter().any(shares), "{notes:?}");
    daemon.signal(Signal::SIGKILL);
    assert_eq!(daemon.exit_code(), -9);
    gone(&[spawner, plugin]);
}

#[test]
fn plugins_of_a_daemon_that_runs_as_nobody_are_another_user() {
    let Some(lab) = Lab::quiet() else { return };
    let (chat, folder) = (lab.chat(), tempfile::tempdir().expect("a folder"));
    let (uid, gid) = ids("nobody", "nogroup");
    let Some(mut daemon) = with_plugin(&lab, folder.path(), &chat, as_nobody) else {
        return;
    };
    let (_, plugin) = spawned(&daemon);
    for thread in threads(plugin) {
        assert!(!thread.uids.contains(&uid) && !thread.gids.contains(&gid));
        assert!(!thread.uids.contains(&0) && thread.is_powerless());
        assert!(thread.groups.is_empty(), "{thread:?}");
    }
    daemon.api().add("drop", "198.51.100.1/32", None, 0);
    assert!(chat.next(PATIENCE).json()["embeds"].is_array());
    assert_eq!(daemon.api().health().1.notes, [""; 0]);
    assert_ends_well(&mut daemon);
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
