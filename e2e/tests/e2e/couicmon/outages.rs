//! Nothing is lost or counted twice: logs rotated in a flood, couicmon killed, the daemon killed.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::{fs, path::Path};

use couic_e2e::{Lab, Monitor, until};
use couic_testkit::{LONG, Program};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{
    OFFENDER, SCAN, VISITOR, ask, banned, crowded, only, scan_jail, servers::nginx, until_dropped,
};

fn web(dir: &Path) -> String {
    format!(
        "[source.web]\nfile = \"{}/access*.log\"\nformat = \"combined\"\n",
        dir.display()
    )
}

/// As logrotate does: rename, then have the server open its log again.
fn rotate(dir: &Path, nginx: &Program, nth: usize) {
    let log = dir.join("access.log");
    fs::rename(&log, dir.join(format!("access.log.{nth}"))).expect("rename");
    nginx.signal(Signal::SIGUSR1);
    until("nginx has opened its log again", LONG, || {
        log.exists().then_some(())
    });
}

/// Thirty sources: odd ones stay one request below the limit, even ones reach it. Rotations fall into every one's
/// requests, so a lost line would spare an even one, and one read twice would ban an odd one.
#[test]
fn rotation_in_a_flood_loses_no_line_and_counts_none_twice() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some(nginx) = nginx(&lab, dir.path(), "") else {
        return;
    };
    let daemon = lab.monitored_daemon().start();
    let jail = "[jail.missing]\nsource = \"web\"\nstatus = [404]\nrate = \"11 per 1h\"\nban = \"10m\"\n[guard]\nshare = 1.0\n";
    let monitor = Monitor::start(&lab, &daemon, dir.path(), &(web(dir.path()) + jail));
    let sources: Vec<String> = (1..=30).map(|n| format!("198.51.100.{n}")).collect();
    for round in 0..5 {
        for (nth, source) in sources.iter().enumerate() {
            if nth % 6 == 5 {
                rotate(dir.path(), &nginx, round * 6 + nth);
            }
            // Files that begin with the same lines would be copies of each other.
            let paths = [format!("/a-{round}"), format!("/b-{round}")];
            let answers = ask(&lab, source, &paths.each_ref().map(String::as_str), &[]);
            assert_eq!(answers, [404, 404], "{source}");
        }
    }
    let excess: Vec<&str> = sources
        .iter()
        .skip(1)
        .step_by(2)
        .map(String::as_str)
        .collect();
    for source in &excess {
        let _ = ask(&lab, source, &["/the-last"], &[]);
    }
    until("those over the limit are banned", LONG, || {
        (banned(&daemon).len() >= excess.len()).then_some(())
    });
    monitor.until_read(30 * 10 + 15);
    assert_eq!(banned(&daemon), only(&excess));
}

#[test]
fn what_a_killed_couicmon_missed_is_read_at_its_next_start() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some(nginx) = nginx(&lab, dir.path(), "") else {
        return;
    };
    let daemon = lab.monitored_daemon().start();
    let config = web(dir.path()) + &scan_jail();
    let monitor = Monitor::start(&lab, &daemon, dir.path(), &config);
    let _ = ask(&lab, "198.51.100.1", &SCAN, &[]);
    until_dropped(&lab, "198.51.100.1");
    // Before its first checkpoint it has no place to go on from.
    until("a checkpoint is written", LONG, || {
        (monitor.figure("couicmon_checkpoints_total") >= 1.0).then_some(())
    });
    assert_eq!(monitor.ended_by(Signal::SIGKILL), -9);
    // Filtering does not depend on it.
    assert!(ask(&lab, "198.51.100.1", &["/good"], &[]).is_empty());
    let _ = ask(&lab, OFFENDER, &SCAN[..10], &[]);
    rotate(dir.path(), &nginx, 1);
    let _ = ask(&lab, OFFENDER, &SCAN[10..], &[]);
    let _ = ask(&lab, VISITOR, &["/good"], &[]);
    let monitor = Monitor::start(&lab, &daemon, dir.path(), &config);
    until_dropped(&lab, OFFENDER);
    assert_eq!(banned(&daemon), only(&["198.51.100.1", OFFENDER]));
    assert_eq!(monitor.ended_by(Signal::SIGTERM), 0);
    assert_eq!(
        banned(&daemon),
        only(&["198.51.100.1", OFFENDER]),
        "its end changes nothing"
    );
}

#[test]
fn bans_are_kept_while_the_daemon_is_killed_and_arrive_once_it_is_back() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some(_nginx) = nginx(&lab, dir.path(), "") else {
        return;
    };
    let daemon = lab.monitored_daemon().start();
    let monitor = Monitor::start(&lab, &daemon, dir.path(), &(web(dir.path()) + &scan_jail()));
    let daemon = daemon.ended_by(Signal::SIGKILL);
    let _ = ask(&lab, OFFENDER, &SCAN, &[]);
    until("the ban is decided", LONG, || {
        (monitor.figure("couicmon_bans_total") >= 1.0).then_some(())
    });
    let daemon = daemon.restart();
    until_dropped(&lab, OFFENDER);
    assert_eq!(ask(&lab, VISITOR, &["/good"], &[]), [200]);
    assert_eq!(banned(&daemon), only(&[OFFENDER]));
}

/// Its token is good for nothing else.
#[test]
fn the_token_of_couicmon_can_only_ban_for_a_while_and_not_too_widely() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.monitored_daemon().start();
    let made = daemon.ctl_ok(&[&Monitor::CLIENT[..], &["--json"]].concat());
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let api = daemon.api_as(made["token"].as_str().expect("a token"));
    let status = |path: &str, cidr: &str, tag: &str, seconds: u64| {
        let expiration = couic_testkit::unix_now() as u64 + seconds;
        let body =
            serde_json::json!({"cidr": cidr, "tag": tag, "expiration": expiration}).to_string();
        api.request("POST", path, Some(&body)).status
    };
    assert_eq!(status("/v1/drop", "198.51.100.7/32", "mon-x", 60), 201);
    assert_eq!(status("/v1/drop", "198.51.100.0/24", "mon-x", 60), 201);
    for (path, cidr, tag, seconds) in [
        ("/v1/ignore", "198.51.100.7/32", "mon-x", 60),
        ("/v1/drop", "198.51.100.7/32", "ssh", 60),
        ("/v1/drop", "198.51.0.0/16", "mon-x", 60),
        ("/v1/drop", "198.51.100.7/32", "mon-x", 30 * 86_400),
    ] {
        assert_eq!(
            status(path, cidr, tag, seconds),
            403,
            "{path} {cidr} {tag} {seconds}"
        );
    }
}
