//! Successful starts, signals, shutdown.

use std::{
    fs::{self, File, TryLockError},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixListener,
        process::CommandExt,
    },
    process::{Child, Command, Stdio},
};

use couic_privsep::stray_signals;
use couic_testkit::{Connection, LONG, until};
use nix::sys::signal::{Signal, kill};

use crate::harness::Place;

/// A process of this test, killed with it.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn sigterm_and_sigint_exit_0_and_leave_nothing_behind() {
    for (signal, name) in [(Signal::SIGTERM, "SIGTERM"), (Signal::SIGINT, "SIGINT")] {
        let place = Place::new();
        let Some(daemon) = place.start(&[]) else {
            return;
        };
        let body = place.health().expect(200).body;
        assert!(
            body.contains("\"status\":\"ok\"") && body.contains("\"lo\""),
            "{body}"
        );
        assert_eq!(daemon.end(signal), 0);
        assert!(!place.socket().exists());
        let log = place.log();
        for line in [
            "couic 2",
            "filtering on lo in mode generic",
            name,
            "no longer filtering on lo",
            "couic has stopped",
        ] {
            assert!(log.contains(line), "{line} not in {log}");
        }
    }
}

#[test]
fn sighup_reloads_and_does_not_stop_the_daemon() {
    let place = Place::new();
    let Some(mut daemon) = place.start(&[]) else {
        return;
    };
    daemon.program.signal(Signal::SIGHUP);
    daemon
        .program
        .until_printed("configuration reloaded")
        .unwrap();
    let _ = place.health().expect(200);
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
}

#[test]
fn unexpected_signals_do_not_stop_the_daemon() {
    let place = Place::new();
    let Some(mut daemon) = place.start(&[]) else {
        return;
    };
    let attacher = daemon.attacher();
    for number in stray_signals() {
        for process in [attacher, daemon.program.pid()] {
            // SAFETY: takes no pointer; both are processes of this test.
            assert_eq!(unsafe { libc::kill(process.as_raw(), number) }, 0);
        }
    }
    for name in ["SIGUSR1", "SIGUSR2", "SIGALRM", "signal 63"] {
        let line = format!("{name} is ignored");
        daemon.program.until_printed(&line).unwrap();
    }
    let _ = place.health().expect(200);
    assert_eq!(daemon.attacher(), attacher, "nor has its attacher ended");
    assert_eq!(daemon.end(Signal::SIGQUIT), 0);
    assert!(place.log().contains("SIGQUIT: answering"));
}

#[test]
fn an_attacher_that_is_stopped_holds_up_no_start() {
    let place = Place::new();
    let Some(daemon) = place.start(&[]) else {
        return;
    };
    let attacher = daemon.attacher();
    kill(attacher, Signal::SIGSTOP).unwrap();
    assert_eq!(daemon.end(Signal::SIGKILL), -9);
    let daemon = place.start(&[]).unwrap();
    let _ = place.health().expect(200);
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
    until("the kernel has ended it with its daemon", LONG, || {
        kill(attacher, None).err()
    });
}

/// It waited for half a minute, and advised to kill the attacher of the daemon that runs.
#[test]
fn a_second_daemon_is_refused_also_without_the_lock_file_of_the_first() {
    let place = Place::new();
    let Some(daemon) = place.start(&[]) else {
        return;
    };
    fs::remove_file(place.working_dir().join("couic.lock")).unwrap();
    fs::remove_file(place.socket()).unwrap();
    place.refused(&format!("another couic (process {})", daemon.program.pid()));
    assert!(!place.log().contains("kill -9"), "{}", place.log());
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
}

#[test]
fn an_attacher_that_is_stopped_holds_up_no_stop() {
    let place = Place::new();
    let Some(mut daemon) = place.start(&[]) else {
        return;
    };
    let attacher = daemon.attacher();
    kill(attacher, Signal::SIGSTOP).unwrap();
    assert_eq!(daemon.program.end(Signal::SIGTERM), 0);
    let log = place.log();
    let expected = format!(
        "the attacher (process {attacher}, stopped) did not exit in time: the kernel kills it as couic ends, which detaches the filter"
    );
    assert!(log.contains(&expected), "{log}");
    until("the filter is detached", LONG, || {
        let links = daemon.netns.run("ip", &["link", "show", "lo"]);
        (!links.contains("xdp")).then_some(())
    });
}

#[test]
fn an_attacher_that_is_killed_ends_the_daemon_and_the_log_says_how_it_ended() {
    let place = Place::new();
    let Some(mut daemon) = place.start(&[]) else {
        return;
    };
    kill(daemon.attacher(), Signal::SIGKILL).unwrap();
    assert_eq!(daemon.program.exit_code(), 1);
    let expected = "the attacher, the process that attaches the filter, was killed by SIGKILL: ";
    let lines = place.log().matches(expected).count();
    assert_eq!(
        lines,
        2,
        "at once, and as the reason of the end: {}",
        place.log()
    );
}

#[test]
fn sigterm_is_handled_while_a_request_hangs() {
    let place = Place::new();
    let Some(daemon) = place.start(&[]) else {
        return;
    };
    // Without its body, which the daemon awaits for 30 s.
    let mut stream = Connection::unix(place.socket()).unwrap();
    let token = place.token();
    stream.send(format!(
        "POST /v1/drop HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    ));
    assert_eq!(stream.head().0, 100, "the request is under way");
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
    let log = place.log();
    assert!(log.contains(", 1 aborted at shutdown"), "{log}");
}

#[test]
fn a_stale_socket_is_replaced() {
    let place = Place::new();
    fs::create_dir(place.path("run")).unwrap();
    drop(UnixListener::bind(place.socket()).unwrap());
    let Some(daemon) = place.start(&[]) else {
        return;
    };
    let found = fs::symlink_metadata(place.socket()).unwrap();
    assert_eq!(found.mode() & 0o7777, 0o770);
    assert_eq!(daemon.end(Signal::SIGKILL), -9);
    assert!(
        place.socket().exists(),
        "a killed daemon cannot remove its socket"
    );
    let daemon = place.start(&[]).unwrap();
    assert_eq!(place.api().get("/v1/drop"), serde_json::json!([]));
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
    assert!(place.log().contains("removing the stale socket"));
}

/// One lock on the directory of the socket kept the daemon from starting, for as long as its holder liked.
#[test]
fn a_lock_that_another_user_holds_refuses_no_start() {
    let place = Place::new();
    for dir in ["", "run", "log", "lib"] {
        let path = place.path(dir);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let Some(daemon) = place.start(&[]) else {
        return;
    };
    let lock = |name: &str| {
        let mut command = Command::new("flock");
        command.arg("--no-fork").arg(place.path(name));
        command.args(["sleep", "600"]).uid(12_345).gid(12_345);
        Holder(command.stderr(Stdio::null()).spawn().unwrap())
    };
    for name in ["lib/couic.lock", "lib/keeper.lock"] {
        let status = lock(name).0.wait().unwrap();
        assert!(!status.success(), "another user opened {name}");
    }
    let held = ["run", "log", "lib"].map(|name| (name, lock(name)));
    for (name, _) in &held {
        until("the lock is held", LONG, || {
            let dir = File::open(place.path(name)).unwrap();
            matches!(dir.try_lock(), Err(TryLockError::WouldBlock)).then_some(())
        });
    }
    assert_eq!(daemon.end(Signal::SIGKILL), -9);
    let daemon = place.start(&[]).unwrap();
    let _ = place.health().expect(200);
    place.refused("another couic (process ");
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
}

#[test]
fn a_second_daemon_is_refused_and_does_not_disturb_the_first() {
    let place = Place::new();
    let Some(daemon) = place.start(&[]) else {
        return;
    };
    place.refused(&format!("another couic (process {})", daemon.program.pid()));
    let _ = place.health().expect(200);
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
}

#[test]
fn a_missing_interface_is_named_and_nothing_is_left_behind() {
    let mut place = Place::new();
    if place.start(&[]).is_none() {
        return;
    }
    place.ifaces = "[\"lo\", \"no-such-if\"]".to_owned();
    let output = place.run();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("cannot filter: ") && stderr.contains("no-such-if"),
        "{stderr}"
    );
}

#[test]
fn a_deleted_interface_is_logged_and_health_is_503() {
    let mut place = Place::new();
    place.ifaces = "[\"lo\", \"gone0\"]".to_owned();
    let link: &[&[&str]] = &[&[
        "ip", "link", "add", "gone0", "type", "veth", "peer", "name", "gone1",
    ]];
    let Some(mut daemon) = place.start(link) else {
        return;
    };
    let _ = place.health().expect(200);
    daemon.netns.run("ip", &["link", "delete", "gone0"]);
    let gone = "NOT filtering on gone0 any more: ";
    let log = daemon.program.until_printed(gone).unwrap();
    let line = log.lines().find(|line| line.contains(gone)).unwrap();
    assert!(line.contains("ERROR"), "{line}");
    let body = place.health().expect(503).body;
    assert!(body.contains("\"status\":\"down\""), "{body}");
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
}

#[test]
fn a_bad_set_file_is_skipped_and_reported() {
    let place = Place::new();
    let sets = place.working_dir().join("sets");
    for dir in [sets.clone(), sets.join("drop"), sets.join("ignore")] {
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).unwrap();
    }
    fs::write(
        sets.join("drop/good.couic"),
        "192.0.2.0/24\n198.51.100.7/32\n",
    )
    .unwrap();
    fs::write(sets.join("drop/bad.couic"), "192.0.2.0/24\nnonsense\n").unwrap();
    let Some(daemon) = place.start(&[]) else {
        return;
    };
    let body = place.health().expect(200).body;
    assert!(
        body.contains("\"status\":\"degraded\"") && body.contains("bad.couic"),
        "{body}"
    );
    let rules = place.api().get("/v1/drop").to_string();
    assert!(
        rules.contains("198.51.100.7/32") && rules.contains("good.couic"),
        "{rules}"
    );
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
    let log = place.log();
    assert!(log.contains("2 rules from set files"), "{log}");
    let line = "ERROR couic::daemon::rules: a set file is not loaded: sets/drop/bad.couic line 2: ";
    assert!(log.contains(line), "{log}");
}

#[test]
fn changes_are_logged_with_their_client() {
    let place = Place::new();
    let Some(mut daemon) = place.start(&[]) else {
        return;
    };
    place.api().add("drop", "192.0.2.7/32", Some("ssh"), 0);
    let line = "client couicctl added drop 192.0.2.7/32 (tag ssh) without end, request ";
    daemon.program.until_printed(line).unwrap();
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
    let log = place.log();
    assert!(log.contains(line), "{log}");
    assert!(!log.contains(&place.token()), "a token in the log");
}
