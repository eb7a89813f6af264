//! The switch over the plain data plane.

use std::fs;

use couic_common::{Policy, Verdict};

use super::*;
use crate::{
    dataplane::{Limits, MemoryPlane},
    rules::{Actor, ClaimRequest, ManualClock, Origin},
};

struct Lab {
    dir: tempfile::TempDir,
    plane: MemoryPlane,
    firewall: Arc<Firewall>,
}

impl Lab {
    fn new() -> Self {
        Self::over(tempfile::tempdir().unwrap())
    }

    fn over(dir: tempfile::TempDir) -> Self {
        let plane = MemoryPlane::default();
        let firewall = Firewall::new(
            Box::new(plane.clone()),
            Arc::new(plane.clone()),
            Limits::default(),
            Arc::new(ManualClock::new(1_000)),
        );
        let lab = Self {
            dir,
            plane,
            firewall: Arc::new(firewall),
        };
        lab.ban("192.0.2.7/32");
        lab
    }

    fn ban(&self, cidr: &str) {
        let rule = ClaimRequest {
            cidr: cidr.parse().unwrap(),
            tag: None,
            expiration: 0,
        };
        let origin = Origin {
            actor: Actor::Client(name("test")),
            metadata: None,
        };
        self.firewall.add(Policy::Drop, &rule, &origin).unwrap();
    }

    fn switch(&self) -> PanicSwitch {
        PanicSwitch::open(self.dir.path(), Arc::clone(&self.firewall))
    }

    fn drops(&self, source: &str) -> bool {
        self.plane.packet(source.parse().unwrap(), 60) == Verdict::Drop
    }
}

fn name(text: &str) -> ClientName {
    text.parse().unwrap()
}

#[test]
fn on_lets_everything_pass_and_off_brings_all_rules_back() {
    let lab = Lab::new();
    let switch = lab.switch();
    assert_eq!(switch.status(), PanicStatus::default());
    assert!(lab.drops("192.0.2.7"));
    let status = switch.on(&name("ops"), Some("locked out".to_owned()));
    let expected = PanicStatus {
        on: true,
        by: Some(name("ops")),
        since: Some(1_000),
        reason: Some("locked out".to_owned()),
        problem: None,
    };
    assert_eq!(status, expected);
    assert!(!lab.drops("192.0.2.7"));
    lab.ban("192.0.2.8/32");
    assert!(!lab.drops("192.0.2.8"));
    assert_eq!(switch.on(&name("other"), None), expected, "who came first");
    let status = switch.off(&name("other"));
    assert_eq!((status.on, status.by), (false, Some(name("other"))));
    assert!(lab.drops("192.0.2.7") && lab.drops("192.0.2.8"));
    assert_eq!(fs::read_dir(lab.dir.path()).unwrap().count(), 0);
}

#[test]
fn a_start_leaves_the_wall_open_while_it_is_on() {
    let lab = Lab::new();
    lab.switch().on(&name("ops"), None);
    let lab = Lab::over(lab.dir);
    let switch = lab.switch();
    assert!(!lab.drops("192.0.2.7"));
    assert_eq!(switch.status().by, Some(name("ops")));
    switch.off(&name("ops"));
    let lab = Lab::over(lab.dir);
    assert!(!lab.switch().status().on && lab.drops("192.0.2.7"));
}

#[test]
fn a_damaged_file_means_on() {
    let lab = Lab::new();
    fs::write(lab.dir.path().join(FILE), b"{\"by\":").unwrap();
    let status = lab.switch().status();
    assert!(status.on && !lab.drops("192.0.2.7"));
    assert!(status.problem.unwrap().contains("panic.json"));
}

/// What is read at a start must not hang it: neither a FIFO nor a link to an endless device.
#[test]
fn a_fifo_or_a_link_in_its_place_means_on_and_hangs_no_start() {
    for link in [false, true] {
        let lab = Lab::new();
        let file = lab.dir.path().join(FILE);
        if link {
            std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        } else {
            nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let status = lab.switch().status();
        assert!(status.on && !lab.drops("192.0.2.7"));
        assert!(status.problem.unwrap().contains("panic.json"));
    }
}

#[test]
fn without_a_disk_it_works_and_says_what_is_missing() {
    let lab = Lab::new();
    let nowhere = lab.dir.path().join("gone");
    let switch = PanicSwitch::open(&nowhere, Arc::clone(&lab.firewall));
    let status = switch.on(&name("ops"), None);
    assert!(status.on && !lab.drops("192.0.2.7"));
    assert!(
        status
            .problem
            .unwrap()
            .contains("a restart would switch it off again")
    );
    let status = switch.off(&name("ops"));
    assert!(!status.on && lab.drops("192.0.2.7"));
    assert!(status.problem.unwrap().contains("switch it on again"));
}

#[test]
fn health_names_the_time_while_it_is_on() {
    let lab = Lab::new();
    let switch = lab.switch();
    let mut health = Health::well("");
    switch.mark(&mut health);
    assert_eq!(health.panic_since, None);
    switch.on(&name("ops"), None);
    switch.mark(&mut health);
    assert_eq!(health.panic_since, Some(1_000));
}

/// A switch whose directory is not there.
fn without_disk(lab: &Lab) -> (PanicSwitch, PathBuf) {
    let nowhere = lab.dir.path().join("gone");
    let switch = PanicSwitch::open(&nowhere, Arc::clone(&lab.firewall));
    (switch, nowhere)
}

fn problem_of(switch: &PanicSwitch) -> Option<String> {
    let mut health = Health::well("");
    switch.mark(&mut health);
    health.panic_problem
}

impl PanicSwitch {
    /// As if time had passed.
    fn retry_now(&self) {
        self.state.lock().tried = None;
        self.retry();
    }
}

#[test]
fn what_the_disk_does_not_take_is_in_health_and_tried_again() {
    let lab = Lab::new();
    let (switch, dir) = without_disk(&lab);
    switch.on(&name("ops"), Some("why".to_owned()));
    assert!(
        problem_of(&switch)
            .unwrap()
            .starts_with("panic is on, but panic.json in")
    );
    switch.retry_now();
    assert!(problem_of(&switch).is_some(), "the disk is as it was");
    fs::create_dir(&dir).unwrap();
    switch.retry_now();
    assert_eq!(problem_of(&switch), None);
    assert_eq!(switch.status().problem, None);
    let again = PanicSwitch::open(&dir, Arc::clone(&lab.firewall)).status();
    assert_eq!(again, switch.status(), "a restart finds it");
}

#[test]
fn off_is_in_health_and_tried_again_too() {
    let lab = Lab::new();
    let (switch, dir) = without_disk(&lab);
    fs::create_dir(&dir).unwrap();
    switch.on(&name("ops"), None);
    // Root may remove every file, but not a directory.
    let file = dir.join(FILE);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    switch.off(&name("ops"));
    let problem = problem_of(&switch).unwrap();
    assert!(
        problem.starts_with("panic is off, but ") && problem.contains("panic.json"),
        "{problem}"
    );
    fs::remove_dir(&file).unwrap();
    switch.retry_now();
    assert_eq!(problem_of(&switch), None);
    assert_eq!(switch.status().problem, None);
}

#[test]
fn what_was_damaged_is_written_anew_by_who_switches() {
    let lab = Lab::new();
    fs::write(lab.dir.path().join(FILE), b"nonsense").unwrap();
    let switch = lab.switch();
    switch.retry_now();
    assert!(switch.status().problem.is_some(), "nothing was refused");
    let off = switch.off(&name("ops"));
    assert_eq!((off.on, off.problem), (false, None));
    assert!(!lab.dir.path().join(FILE).exists());
}

#[test]
fn the_file_of_the_version_before_is_read() {
    let lab = Lab::new();
    let file = lab.dir.path().join(FILE);
    fs::write(&file, include_bytes!("fixtures/panic.json")).unwrap();
    let expected = PanicStatus {
        on: true,
        by: Some(name("couicctl")),
        since: Some(1_795_984_214),
        reason: None,
        problem: None,
    };
    assert_eq!(lab.switch().status(), expected);
    assert!(!lab.drops("192.0.2.7"));
}
