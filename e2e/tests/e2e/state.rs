//! Rules that outlive the daemon: kill -9 under load, damaged files, failing disks.
#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

mod disk;
mod kill;
mod mounts;

use std::{fs, path::PathBuf};

use couic_common::{HealthStatus, Policy};
use couic_e2e::{Daemon, Frame, Lab};
use nix::sys::signal::Signal;

/// Kills the daemon with SIGKILL and restarts it.
fn killed(mut daemon: Daemon<'_>) -> Daemon<'_> {
    daemon.signal(Signal::SIGKILL);
    assert_eq!(daemon.exit_code(), -9);
    daemon.restart()
}

/// The files in the state directory whose name ends with `end`.
fn state_files(daemon: &Daemon<'_>, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(daemon.working_dir().join("state")).expect("the state");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect();
    paths.sort_unstable();
    paths
}

#[test]
fn rules_are_restored_before_the_first_frame_after_every_kind_of_exit() {
    let Some(lab) = Lab::quiet() else { return };
    let mut daemon = lab
        .daemon()
        .set_file(Policy::Drop, "list", "198.51.100.9/32\n")
        .start();
    let api = daemon.api();
    api.add("drop", "198.51.100.0/24", Some("ban"), 0);
    api.add("ignore", "198.51.100.7/32", None, 4_000_000_000);
    api.add("drop", "203.0.113.1/32", None, 0);
    api.remove("drop", "203.0.113.1/32");
    let drops = |daemon: &Daemon<'_>| {
        let mut list = daemon.api().get("/v1/drop");
        // The creation of a set's entry is the time of the start.
        for entry in list.as_array_mut().expect("a list") {
            if entry["tag"] == "list.couic" {
                entry["creation"] = 0.into();
            }
        }
        (list, daemon.api().get("/v1/ignore"))
    };
    let before = drops(&daemon);
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
        daemon.signal(signal);
        let _ = daemon.exit_code();
        daemon = daemon.restart();
        assert_eq!(drops(&daemon), before, "{signal}");
        let sources = ["198.51.100.8", "198.51.100.7", "203.0.113.1"].map(Frame::v4);
        assert_eq!(lab.wire().arrivals(&sources), [0, 1, 1]);
    }
    assert_eq!(daemon.api().health().1.state_problems, []);
}

#[test]
fn without_persist_rules_are_not_restored_as_in_1_0() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab
        .daemon()
        .config("[state]\npersist = false\n")
        .set_file(Policy::Drop, "list", "198.51.100.9/32\n")
        .start();
    daemon.api().add("drop", "198.51.100.7/32", None, 0);
    assert!(!daemon.working_dir().join("state").exists());
    let daemon = killed(daemon);
    assert_eq!(daemon.api().stats().drop_cidr_count, 1);
}

#[test]
fn a_damaged_file_loses_only_the_damaged_records_and_is_reported_until_deleted() {
    let Some(lab) = Lab::quiet() else { return };
    let mut daemon = lab.daemon().start();
    for n in 0..20 {
        daemon
            .api()
            .add("drop", &format!("198.51.100.{n}/32"), Some("ban"), 0);
    }
    daemon.signal(Signal::SIGKILL);
    let _ = daemon.exit_code();
    let log = state_files(&daemon, ".log").pop().expect("a log");
    let mut bytes = fs::read(&log).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&log, bytes).expect("write");
    let daemon = daemon.restart();
    assert_eq!(daemon.api().stats().drop_cidr_count, 19);
    let (status, health) = daemon.api().health();
    assert_eq!((status, health.status), (200, HealthStatus::Degraded));
    let shown = daemon.ctl_ok(&["health"]);
    assert!(shown.contains("Rules on disk: journal-"), "{shown}");
    couic_e2e::until("the log says so", DEADLINE, || {
        daemon
            .log()
            .contains("is damaged: 19 records")
            .then_some(())
    });
    // Once the readable records are safe, the file is set aside, until an operator deletes it.
    let kept = || {
        let all = state_files(&daemon, "");
        all.into_iter()
            .find(|path| path.to_string_lossy().contains(".damaged-"))
    };
    let (kept, _) = couic_e2e::until("the damaged file is kept", DEADLINE, kept);
    fs::remove_file(kept).expect("remove");
    couic_e2e::until("health is ok", DEADLINE, || {
        (daemon.api().health().1.status == HealthStatus::Ok).then_some(())
    });
}

/// Deadline for what the daemon does on its own within seconds.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(90);
