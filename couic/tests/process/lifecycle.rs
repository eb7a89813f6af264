//! Successful starts, signals, shutdown.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
};

use couic_privsep::stray_signals;
use nix::sys::signal::{Signal, kill};

use crate::harness::{Place, get};

pub(crate) fn token(place: &Place) -> String {
    let file = place.working_dir().join("rbac/clients/couicctl.toml");
    let text = fs::read_to_string(file).unwrap();
    let token = text.lines().find_map(|l| l.strip_prefix("token = \""));
    token.unwrap().trim_end_matches('"').to_owned()
}

#[test]
fn sigterm_and_sigint_exit_0_and_leave_nothing_behind() {
    for (signal, name) in [(Signal::SIGTERM, "SIGTERM"), (Signal::SIGINT, "SIGINT")] {
        let place = Place::new();
        let Some(daemon) = place.start(&[]) else {
            return;
        };
        let (status, body) = get(&place, "/v1/health", None);
        assert_eq!(status, 200, "{body}");
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
fn sighup_does_not_stop_the_daemon() {
    let place = Place::new();
    let Some(mut daemon) = place.start(&[]) else {
        return;
    };
    kill(daemon.pid(), Signal::SIGHUP).unwrap();
    assert!(daemon.wait_for("SIGHUP: nothing to do").is_ok());
    assert_eq!(get(&place, "/v1/health", None).0, 200);
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
        for process in [attacher, daemon.pid()] {
            // SAFETY: takes no pointer; both are processes of this test.
            assert_eq!(unsafe { libc::kill(process.as_raw(), number) }, 0);
        }
    }
    let mut seen = String::new();
    for name in ["SIGUSR1", "SIGUSR2", "SIGALRM", "signal 63"] {
        while !seen.contains(&format!("{name} was sent by somebody")) {
            seen += &daemon.wait_for(", and ends nothing").unwrap();
        }
    }
    assert_eq!(get(&place, "/v1/health", None).0, 200);
    assert_eq!(daemon.attacher(), attacher, "the attacher has exited");
    assert_eq!(daemon.end(Signal::SIGQUIT), 0);
    assert!(place.log().contains("SIGQUIT: finishing"));
}

#[test]
fn a_stopped_attacher_does_not_block_the_start() {
    let place = Place::new();
    let Some(daemon) = place.start(&[]) else {
        return;
    };
    let attacher = daemon.attacher();
    kill(attacher, Signal::SIGSTOP).unwrap();
    assert_eq!(daemon.end(Signal::SIGKILL), -9);
    let daemon = place.start(&[]).unwrap();
    assert_eq!(get(&place, "/v1/health", None).0, 200);
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
    let log = place.log();
    let expected = format!("the attacher (process {attacher}, stopped) of a couic that has ended");
    assert!(log.contains(&expected), "{log}");
}

#[test]
fn sigterm_is_handled_while_a_request_hangs() {
    let place = Place::new();
    let Some(daemon) = place.start(&[]) else {
        return;
    };
    // Without its body, which the daemon awaits for 30 s.
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    let token = token(&place);
    write!(
        stream,
        "POST /v1/drop HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    )
    .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100", "the request is in progress");
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
    let log = place.log();
    assert!(log.contains(", 1 cut off at the end"), "{log}");
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
    kill(daemon.pid(), Signal::SIGKILL).unwrap();
    drop(daemon);
    assert!(
        place.socket().exists(),
        "a killed daemon cannot remove its socket"
    );
    let daemon = place.start(&[]).unwrap();
    assert_eq!(get(&place, "/v1/drop", Some(&token(&place))).0, 200);
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
    assert!(place.log().contains("that a crash left over"));
}

#[test]
fn a_second_daemon_is_refused_and_does_not_disturb_the_first() {
    let place = Place::new();
    let Some(daemon) = place.start(&[]) else {
        return;
    };
    place.refused(&format!("another couic (process {})", daemon.pid()));
    assert_eq!(get(&place, "/v1/health", None).0, 200);
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
    assert_eq!(get(&place, "/v1/health", None).0, 200);
    daemon.inside(&["ip", "link", "delete", "gone0"]);
    let log = daemon.wait_for("NOT filtering on gone0 any more: ");
    assert!(log.is_ok_and(|l| l.contains("ERROR")));
    let (status, body) = get(&place, "/v1/health", None);
    assert_eq!(status, 503, "{body}");
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
    let (status, body) = get(&place, "/v1/health", None);
    assert_eq!(status, 200, "{body}");
    assert!(
        body.contains("\"status\":\"degraded\"") && body.contains("bad.couic"),
        "{body}"
    );
    let (_, rules) = get(&place, "/v1/drop", Some(&token(&place)));
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
    let body = "{\"cidr\":\"192.0.2.7/32\",\"expiration\":0,\"tag\":\"ssh\"}";
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    let request = format!(
        "POST /v1/drop HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        token(&place),
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let line = "client couicctl added drop 192.0.2.7/32 tag=ssh expires=never";
    assert!(daemon.wait_for(line).is_ok());
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
    let log = place.log();
    assert!(log.contains(line), "{log}");
    assert!(!log.contains(&token(&place)), "a token in the log");
}
