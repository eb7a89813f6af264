//! Disks that are full, read-only or broken, in a mount namespace of the test's own thread.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use couic_common::HealthStatus;
use couic_e2e::{Daemon, DaemonBuilder, Frame, Lab, until};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use serde_json::json;

use super::{DEADLINE, killed};

/// Something mounted where the state is. Seen by this thread and the daemons that it starts, and gone with them.
struct Disk {
    dir: PathBuf,
    mounted: usize,
}

impl Disk {
    /// An empty place for mounts.
    fn new(builder: &DaemonBuilder<'_>) -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
        let dir = builder.working_dir().join("state");
        fs::create_dir(&dir).expect("the state directory");
        Self { dir, mounted: 0 }
    }

    fn mount(&mut self, source: &str, kind: &str, flags: MsFlags, options: Option<&str>) {
        mount(Some(source), &self.dir, Some(kind), flags, options)
            .unwrap_or_else(|e| panic!("mount {source}: {e}"));
        self.mounted += 1;
        make_private(&self.dir);
    }

    fn remount(&self, flags: MsFlags) {
        let flags = MsFlags::MS_REMOUNT | flags;
        mount(None::<&str>, &self.dir, None::<&str>, flags, None::<&str>).expect("remount");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for _ in 0..self.mounted {
            // With the namespace it goes anyway.
            let _ = umount2(&self.dir, MntFlags::MNT_DETACH);
        }
    }
}

fn make_private(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // A file system that is mounted read-only was made private before.
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
}

/// So many bans, in one request.
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

/// The problem with the state, once there is one.
fn alarm(daemon: &Daemon<'_>) -> String {
    until("the alarm", DEADLINE, || {
        let (status, health) = daemon.api().health();
        assert_eq!(status, 200, "the wall stands");
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
fn a_full_disk_stops_nothing_and_all_is_written_once_there_is_room() {
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
    let told = alarm(&daemon);
    for part in ["No space left on device", "NOT written"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(metric(&daemon, "couic_state_recording 0"));
    daemon.api().remove("drop", "10.1.0.0/32");
    daemon.api().add("drop", "198.51.100.7/32", None, 0);
    let sources = ["198.51.100.7", "10.1.0.0"].map(Frame::v4);
    assert_eq!(lab.wire().arrivals(&sources), [0, 1]);
    assert!(
        daemon.log().contains("state: cannot write the log"),
        "{}",
        daemon.log()
    );
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
fn a_read_only_disk_keeps_nobody_from_starting_with_the_rules_that_are_there() {
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
    let told = alarm(&daemon);
    assert!(told.contains("Read-only file system"), "{told}");
    ban(&daemon, "10.2", 100);
    assert_eq!(count(&daemon), 200);
    disk.remount(MsFlags::empty());
    await_well(&daemon);
    let daemon = killed(daemon);
    assert_eq!(count(&daemon), 200);
    drop(daemon);
}

/// The kernel's `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`: every access to the file system fails from then on.
fn break_file_system(dir: &Path) -> bool {
    use std::os::fd::AsRawFd;
    let Ok(file) = File::open(dir) else {
        return false;
    };
    let how: u32 = 2; // EXT4_GOING_FLAGS_NOLOGFLUSH
    // SAFETY: the descriptor is open, and the kernel reads four bytes through the pointer.
    unsafe { libc::ioctl(file.as_raw_fd(), 0x8004_587d, &raw const how) == 0 }
}

fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// A block device over a file, detached on drop.
struct Loop(String);

impl Loop {
    fn new(image: &Path) -> Option<Self> {
        File::create(image).ok()?.set_len(16 << 20).ok()?;
        let image = image.to_str()?;
        run("mkfs.ext4", &["-q", "-F", image])?;
        run("losetup", &["--find", "--show", image]).map(Self)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = run("losetup", &["--detach", &self.0]);
    }
}

#[test]
fn a_broken_disk_stops_nothing_and_all_is_written_to_the_next_one() {
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
    let told = alarm(&daemon);
    assert!(told.contains("Input/output error"), "{told}");
    daemon.api().add("drop", "198.51.100.7/32", None, 0);
    assert!(!lab.wire().passes(&Frame::v4("198.51.100.7")));
    // Somebody mounts another disk in its place.
    disk.mount("tmpfs", "tmpfs", MsFlags::empty(), Some("size=2m"));
    await_well(&daemon);
    let daemon = killed(daemon);
    assert_eq!(count(&daemon), 201);
    drop(daemon);
}
