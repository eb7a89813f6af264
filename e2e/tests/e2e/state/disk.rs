//! Full, read-only and broken disks.

use std::{
    fs::{self, File},
    io::Write,
};

use couic_common::HealthStatus;
use couic_e2e::{Daemon, Frame, Lab, until};
use nix::mount::MsFlags;
use serde_json::json;

use super::{
    DEADLINE, killed,
    mounts::{Disk, Loop, break_file_system, make_private},
};

/// Adds `count` bans in one request.
fn ban(daemon: &Daemon<'_>, network: &str, count: usize) {
    let jobs: Vec<_> = (0..count)
        .map(|n| {
            let cidr = format!("{network}.{}.{}/32", n / 256, n % 256);
            json!({"action": "add", "entry": {"cidr": cidr, "tag": "ban"}})
        })
        .collect();
    let outcome = daemon.api().batch("drop", &jobs);
    assert_eq!(outcome["failed"], 0, "{outcome}");
}

/// Waits for a problem with the state.
fn alarm(daemon: &Daemon<'_>) -> String {
    until("the alarm", DEADLINE, || {
        let (status, health) = daemon.api().health();
        assert_eq!(status, 200, "filtering continues");
        let problem = health.state_problems.first()?;
        assert_eq!(health.status, HealthStatus::Degraded);
        Some(problem.message.clone())
    })
    .0
}

fn await_well(daemon: &Daemon<'_>) {
    until("the alarm ends", DEADLINE, || {
        daemon
            .api()
            .health()
            .1
            .state_problems
            .is_empty()
            .then_some(())
    });
}

fn metric(daemon: &Daemon<'_>, line: &str) -> bool {
    let text = daemon
        .api()
        .request("GET", "/v1/metrics?format=prometheus", None)
        .expect(200)
        .body;
    text.lines().any(|l| l == line)
}

fn count(daemon: &Daemon<'_>) -> u64 {
    daemon.api().stats().drop_cidr_count
}

#[test]
fn a_full_disk_stops_nothing_and_changes_are_written_once_there_is_space() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab.daemon();
    let mut disk = Disk::new(&builder);
    disk.mount("tmpfs", "tmpfs", MsFlags::empty(), Some("size=2m"));
    let daemon = builder.start();
    ban(&daemon, "10.1", 100);
    let filler = disk.dir.join("filler");
    let mut file = File::create(&filler).expect("a file");
    while file.write_all(&[0; 4096]).is_ok() {}
    ban(&daemon, "10.2", 2_000);
    let problem = alarm(&daemon);
    for part in ["No space left on device", "NOT written"] {
        assert!(problem.contains(part), "{problem}");
    }
    assert!(metric(&daemon, "couic_state_recording 0"));
    daemon.api().remove("drop", "10.1.0.0/32");
    daemon.api().add("drop", "198.51.100.7/32", None, 0);
    let sources = ["198.51.100.7", "10.1.0.0"].map(Frame::v4);
    assert_eq!(lab.wire().arrivals(&sources), [0, 1]);
    until("the log says so", DEADLINE, || {
        daemon
            .log()
            .contains("state: cannot write the log")
            .then_some(())
    });
    drop(file);
    fs::remove_file(&filler).expect("remove");
    await_well(&daemon);
    assert!(metric(&daemon, "couic_state_recording 1"));
    let daemon = killed(daemon);
    assert_eq!(count(&daemon), 2_100);
    assert_eq!(lab.wire().arrivals(&sources), [0, 1]);
    drop(daemon);
}

#[test]
fn a_daemon_starts_with_its_rules_on_a_read_only_disk() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab.daemon();
    let mut disk = Disk::new(&builder);
    disk.mount("tmpfs", "tmpfs", MsFlags::empty(), Some("size=2m"));
    let mut daemon = builder.start();
    ban(&daemon, "10.1", 100);
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    let _ = daemon.exit_code();
    disk.remount(MsFlags::MS_RDONLY);
    let daemon = daemon.restart();
    assert_eq!(count(&daemon), 100);
    let problem = alarm(&daemon);
    assert!(problem.contains("Read-only file system"), "{problem}");
    ban(&daemon, "10.2", 100);
    assert_eq!(count(&daemon), 200);
    disk.remount(MsFlags::empty());
    await_well(&daemon);
    let daemon = killed(daemon);
    assert_eq!(count(&daemon), 200);
    drop(daemon);
}

fn is_filtered(lab: &Lab, source: &str) -> bool {
    !lab.wire().passes(&Frame::v4(source))
}

#[test]
fn a_daemon_starts_with_its_full_state_in_a_read_only_working_directory() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab.daemon();
    let mut disk = Disk::of_all(&builder);
    disk.mount("tmpfs", "tmpfs", MsFlags::empty(), Some("size=2m"));
    let mut daemon = builder.start();
    daemon.set_file(couic_common::Policy::Drop, "list", "198.51.100.7/32\n");
    daemon.api().reload();
    ban(&daemon, "10.1", 100);
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    let _ = daemon.exit_code();
    disk.remount(MsFlags::MS_RDONLY);
    let daemon = daemon.restart();
    assert_eq!(count(&daemon), 101);
    assert!(is_filtered(&lab, "198.51.100.7"));
    assert_eq!(daemon.detach().0, 1, "it is known to run");
    let (_, health) = daemon.api().health();
    let shown = disk.dir.display();
    let fix = format!("run mount -o remount,rw {shown}");
    let reported = |text: &str| text.ends_with(&fix);
    assert!(
        health.state_problems.iter().any(|p| reported(&p.message)),
        "{health:?}"
    );
    until("the log says so", DEADLINE, || {
        daemon.log().contains(&fix).then_some(())
    });
    let refused = daemon.ctl(&["clients", "add", "-n", "new", "-g", "monitoring"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    // Changes are in force now, and written once possible.
    ban(&daemon, "10.2", 100);
    disk.remount(MsFlags::empty());
    await_well(&daemon);
    let daemon = killed(daemon);
    assert_eq!(count(&daemon), 201);
}

#[test]
fn a_daemon_starts_with_minimal_state_on_a_read_only_file_system() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab.daemon();
    let mut disk = Disk::of_all(&builder);
    disk.mount("tmpfs", "tmpfs", MsFlags::empty(), Some("size=2m"));
    for dir in ["rbac", "rbac/clients"] {
        fs::create_dir(disk.dir.join(dir)).expect("make a directory");
        make_private(&disk.dir.join(dir));
    }
    let client = disk.dir.join("rbac/clients/couicctl.toml");
    let text = "token = \"550e8400-e29b-41d4-a716-446655440000\"\ngroup = \"admin\"\n";
    fs::write(&client, text).expect("write");
    fs::set_permissions(&client, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("chmod");
    disk.remount(MsFlags::MS_RDONLY);
    // The log, too, as if the disk of all of /var failed.
    let mut log = Disk::at(builder.working_dir().with_file_name("log"));
    log.mount("tmpfs", "tmpfs", MsFlags::MS_RDONLY, None);
    let daemon = builder.start();
    ban(&daemon, "198.51", 1);
    assert!(is_filtered(&lab, "198.51.0.0"));
    let (status, health) = daemon.api().health();
    assert_eq!((status, health.status), (200, HealthStatus::Degraded));
    // The log and the audit log.
    for (part, files) in [("the log file ", 2), ("the working directory ", 1)] {
        let found = health.state_problems.iter();
        let reported = found.filter(|p| p.message.starts_with(part)).count();
        assert_eq!(reported, files, "{health:?}");
        until("it is printed", DEADLINE, || {
            daemon.output().contains(part).then_some(())
        });
    }
    // A second daemon is refused, although there is no file to lock.
    let (code, output) = daemon.detach();
    assert!(
        code == 1 && output.contains("runs with this working_dir"),
        "{output}"
    );
    let daemon = killed(daemon);
    ban(&daemon, "198.51", 1);
}

#[test]
fn a_broken_disk_stops_nothing_and_its_replacement_gets_the_full_state() {
    let Some(lab) = Lab::quiet() else { return };
    let images = tempfile::tempdir().expect("a directory");
    let Some(device) = Loop::new(&images.path().join("disk")) else {
        println!("skipped: no loop device with ext4 can be made here");
        return;
    };
    let builder = lab.daemon();
    let mut disk = Disk::new(&builder);
    disk.mount(&device.0, "ext4", MsFlags::empty(), None);
    let daemon = builder.start();
    ban(&daemon, "10.1", 100);
    if !break_file_system(&disk.dir) {
        println!("skipped: this kernel cannot shut a file system down");
        return;
    }
    ban(&daemon, "10.2", 100);
    let problem = alarm(&daemon);
    assert!(problem.contains("Input/output error"), "{problem}");
    daemon.api().add("drop", "198.51.100.7/32", None, 0);
    assert!(!lab.wire().passes(&Frame::v4("198.51.100.7")));
    // Another disk is mounted in its place.
    disk.mount("tmpfs", "tmpfs", MsFlags::empty(), Some("size=2m"));
    await_well(&daemon);
    let daemon = killed(daemon);
    assert_eq!(count(&daemon), 201);
    drop(daemon);
}
