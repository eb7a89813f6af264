//! Rotation on a real directory, with a clock set by the test.

use std::{
    cell::Cell,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use tempfile::TempDir;

use super::*;
use crate::config::{LogFormat, LogLevel};

thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });

/// 2026-11-21, a Saturday, 23:59:50.
const SATURDAY: u64 = 1_795_305_590;

fn owner() -> Account {
    Account {
        user: "root".to_owned(),
        group: "root".to_owned(),
        uid: geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
    }
}

fn logging(dir: &Path, rotation: Rotation, keep: usize) -> Logging {
    Logging {
        dir: dir.to_owned(),
        rotation,
        max_log_files: keep,
        max_file_mib: 1,
        format: LogFormat::Text,
        level: LogLevel::Info,
        stdout: false,
        audit: true,
        audit_max_mib: 8,
    }
}

fn live() -> Arc<Live> {
    Arc::new(Live::new(LogLevel::Info, LogFormat::Text))
}

fn open(dir: &Path, rotation: Rotation, keep: usize, now: u64) -> RollingFile {
    NOW.set(now);
    RollingFile::open_at(&logging(dir, rotation, keep), &owner(), &live(), || {
        NOW.get()
    })
    .unwrap()
}

fn files(dir: &TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|i| i.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn each_day_has_a_file_and_the_oldest_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("couic.log.old"), "not ours").unwrap();
    let mut log = open(dir.path(), Rotation::Daily, 2, SATURDAY);
    for day in 0..4 {
        NOW.set(SATURDAY + day * DAY);
        log.write_all(format!("day {day}\n").as_bytes()).unwrap();
    }
    let kept = [
        "couic.log.2026-11-23",
        "couic.log.2026-11-24",
        "couic.log.old",
    ];
    assert_eq!(files(&dir), kept);
    let text = fs::read_to_string(dir.path().join(kept[1])).unwrap();
    assert_eq!(text, "day 3\n");
}

#[test]
fn a_file_ends_at_its_size_and_all_together_at_their_number() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("couic.log.2026-11-21.01"), "not ours").unwrap();
    let mut log = open(dir.path(), Rotation::Daily, 3, SATURDAY);
    let lines = "x".repeat(99) + "\n";
    let lines = lines.repeat(3_000);
    for restart in [false, true] {
        for _ in 0..25 {
            log.write_all(lines.as_bytes()).unwrap();
        }
        if restart {
            log = open(dir.path(), Rotation::Daily, 3, SATURDAY);
            log.write_all(b"after\n").unwrap();
        }
    }
    let mut kept = files(&dir);
    assert_eq!(kept.remove(0), "couic.log.2026-11-21.01");
    // 15 MB, in files of 1 MiB.
    let names = [
        "couic.log.2026-11-21.12",
        "couic.log.2026-11-21.13",
        "couic.log.2026-11-21.14",
    ];
    assert_eq!(kept, names);
    for name in names {
        let text = fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(text.len() as u64 <= MIB && text.ends_with('\n'), "{name}");
        assert_eq!(text.ends_with("after\n"), name == names[2]);
    }
    NOW.set(SATURDAY + DAY);
    log.write_all(b"x\n").unwrap();
    assert_eq!(files(&dir).last().unwrap(), "couic.log.2026-11-22");
}

#[test]
fn a_file_that_is_moved_or_removed_is_created_again() {
    let dir = tempfile::tempdir().unwrap();
    let (file, aside) = (dir.path().join("couic.log"), dir.path().join("couic.log.1"));
    let mut log = open(dir.path(), Rotation::Never, 7, SATURDAY);
    log.write_all(b"one\n").unwrap();
    fs::rename(&file, &aside).unwrap();
    // Noticed within a second.
    NOW.set(SATURDAY + 1);
    log.write_all(b"two\n").unwrap();
    fs::remove_file(&file).unwrap();
    NOW.set(SATURDAY + 2);
    log.write_all(b"three\n").unwrap();
    assert_eq!(fs::read(&aside).unwrap(), b"one\n");
    assert_eq!(fs::read(&file).unwrap(), b"three\n");
}

#[test]
fn a_week_begins_on_sunday() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), Rotation::Weekly, 7, SATURDAY);
    for seconds in [0, 10, 7 * DAY] {
        NOW.set(SATURDAY + seconds);
        log.write_all(b"x\n").unwrap();
    }
    assert_eq!(
        files(&dir),
        ["couic.log.2026-11-15", "couic.log.2026-11-22"]
    );
}

#[test]
fn a_restart_appends_and_deletes_nothing() {
    for (rotation, name) in [
        (Rotation::Daily, "couic.log.2026-11-21"),
        (Rotation::Never, "couic.log"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let mut log = open(dir.path(), rotation, 1, SATURDAY);
            log.write_all(b"x\n").unwrap();
        }
        assert_eq!(files(&dir), [name]);
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), b"x\nx\nx\n");
    }
}

#[test]
fn a_clock_that_jumps_back_appends_to_the_earlier_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), Rotation::Daily, 7, SATURDAY + DAY);
    NOW.set(SATURDAY);
    log.write_all(b"x\n").unwrap();
    assert_eq!(
        files(&dir),
        ["couic.log.2026-11-21", "couic.log.2026-11-22"]
    );
}

#[test]
fn on_error_lines_go_on_in_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), Rotation::Daily, 7, SATURDAY);
    fs::create_dir(dir.path().join("couic.log.2026-11-22")).unwrap();
    NOW.set(SATURDAY + 20);
    log.write_all(b"kept\n").unwrap();
    log.write_all(b"kept too\n").unwrap();
    let text = fs::read_to_string(dir.path().join("couic.log.2026-11-21")).unwrap();
    assert!(text.ends_with("kept\nkept too\n"), "{text}");
    assert_eq!(text.matches("cannot open the log file").count(), 1);
    fs::remove_dir(dir.path().join("couic.log.2026-11-22")).unwrap();
    NOW.set(SATURDAY + 80);
    log.write_all(b"new\n").unwrap();
    let text = fs::read_to_string(dir.path().join("couic.log.2026-11-22")).unwrap();
    assert_eq!(text, "new\n");
}

#[test]
fn the_directory_is_created_and_files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b");
    let mut owner = owner();
    if geteuid().is_root() {
        (owner.uid, owner.gid) = (4242, 4343);
    }
    drop(RollingFile::open(&logging(&deep, Rotation::Never, 7), &owner, &live()).unwrap());
    let file = fs::metadata(deep.join("couic.log")).unwrap();
    assert_eq!(file.permissions().mode() & 0o137, 0);
    for found in [file, fs::metadata(&deep).unwrap()] {
        assert_eq!((found.uid(), found.gid()), (owner.uid, owner.gid));
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let told = |path: &Path| {
        RollingFile::open(&logging(path, Rotation::Never, 7), &owner(), &live())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(told(&file).contains(&format!("{}", file.display())));
    std::os::unix::fs::symlink("/dev/null", dir.path().join("couic.log")).unwrap();
    let told = told(dir.path());
    assert!(
        told.contains("couic.log: ") && told.contains("[logging] dir"),
        "{told}"
    );
}

/// The directory may belong to a less privileged user, who can link any file there.
#[test]
fn a_log_file_with_a_second_name_is_left_to_that_name() {
    if !geteuid().is_root() {
        println!("skipped: only root gives files away");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let precious = dir.path().join("precious");
    fs::write(&precious, "content").unwrap();
    fs::hard_link(&precious, dir.path().join(MAIN)).unwrap();
    let mut file = open(dir.path(), Rotation::Never, 1, DAY);
    file.write_all(b"line\n").unwrap();
    let found = fs::metadata(&precious).unwrap();
    assert_eq!((found.uid(), found.nlink()), (0, 1));
    assert_eq!(fs::read(&precious).unwrap(), b"content");
    let log = fs::read_to_string(dir.path().join(MAIN)).unwrap();
    assert!(
        log.contains("had a second name (a hard link)") && log.ends_with("line\n"),
        "{log}"
    );
}

#[test]
fn the_audit_log_is_bounded_in_bytes_and_always_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let logging = logging(dir.path(), Rotation::Never, 1);
    NOW.set(SATURDAY);
    let owner = owner();
    let mut log = RollingFile::open_audit_at(&logging, &owner, &live(), || NOW.get()).unwrap();
    let lines = ("x".repeat(99) + "\n").repeat(1_000);
    let total = || -> u64 {
        let sizes = fs::read_dir(dir.path()).unwrap();
        sizes
            .map(|item| item.unwrap().metadata().unwrap().len())
            .sum()
    };
    for _ in 0..200 {
        log.write_all(lines.as_bytes()).unwrap();
        assert!(total() <= 8 * MIB, "{}", total());
    }
    assert!(total() > 7 * MIB, "{}", total());
    NOW.set(SATURDAY + DAY);
    log.write_all(b"y\n").unwrap();
    let kept = super::files(dir.path(), AUDIT).unwrap();
    assert!(
        kept[0]
            .display()
            .to_string()
            .contains("audit.log.2026-11-21.")
    );
    assert!(kept.last().unwrap().ends_with("audit.log.2026-11-22"));
}

#[test]
fn reopening_notices_a_moved_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let live = live();
    NOW.set(SATURDAY);
    let logging = logging(dir.path(), Rotation::Never, 1);
    let mut log = RollingFile::open_at(&logging, &owner(), &live, || NOW.get()).unwrap();
    log.write_all(b"one\n").unwrap();
    fs::rename(dir.path().join(MAIN), dir.path().join("aside")).unwrap();
    log.write_all(b"two\n").unwrap();
    assert_eq!(files(&dir), ["aside"], "looked at once a second");
    live.reopen();
    log.write_all(b"three\n").unwrap();
    assert_eq!(fs::read(dir.path().join(MAIN)).unwrap(), b"three\n");
}
