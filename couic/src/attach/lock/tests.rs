//! Locks on a real directory.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use nix::unistd::{getegid, geteuid};

use super::*;

fn owner() -> Account {
    Account {
        user: String::new(),
        group: String::new(),
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
    }
}

#[test]
fn the_second_daemon_is_refused_with_the_process_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = WorkLock::acquire(dir.path(), &owner()).unwrap();
    let told = WorkLock::acquire(dir.path(), &owner())
        .unwrap_err()
        .to_string();
    let pid = std::process::id();
    assert!(
        told.starts_with(&format!("another couic (process {pid}) uses")),
        "{told}"
    );
    drop(first);
    WorkLock::acquire(dir.path(), &owner()).unwrap();
}

#[test]
fn the_attachers_lock_lasts_while_any_process_has_the_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let lock = WorkLock::acquire(dir.path(), &owner()).unwrap();
    let take =
        |timeout| AttacherLock::acquire_within(dir.path(), &owner(), &lock, [timeout, timeout]);
    let first = take(Duration::ZERO).unwrap();
    // This process is no attacher, so it is not killed.
    first.record(std::process::id());
    let handed_on = first.descriptor().unwrap().try_clone_to_owned().unwrap();
    drop(first);
    let told = take(Duration::ZERO).unwrap_err().to_string();
    assert!(
        told.starts_with("the attacher of a couic that has exited")
            && told.contains(&format!("whether process {} is", std::process::id())),
        "{told}"
    );
    thread::scope(|scope| {
        let waiting = scope.spawn(|| take(TIMEOUT));
        drop(handed_on);
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn a_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/null", dir.path().join(NAME)).unwrap();
    let told = WorkLock::acquire(dir.path(), &owner())
        .unwrap_err()
        .to_string();
    assert!(
        told.starts_with("cannot lock ") && told.contains(NAME) && told.ends_with("remove it"),
        "{told}"
    );
}

#[test]
fn without_a_file_the_directory_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    // As on a read-only file system without a lock file.
    let without = || WorkLock::without_file(dir.path(), &owner()).unwrap();
    let lock = without().unwrap();
    let attacher = AttacherLock::acquire(dir.path(), &owner(), &lock).unwrap();
    attacher.record(1);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let other = File::open(dir.path()).unwrap();
    assert!(!try_lock(&other).unwrap());
    assert!(without().is_err(), "a second daemon is refused");
    drop(lock);
    assert!(!try_lock(&other).unwrap(), "the attacher still holds it");
    drop(attacher);
    assert!(try_lock(&other).unwrap());
}

/// The mode of the lock is what keeps other users from it: whoever can open a directory can lock it.
#[test]
fn what_other_users_can_open_is_not_locked() {
    let dir = tempfile::tempdir().unwrap();
    let locked = |name: &str, mode: u32| {
        let path = dir.path().join(name);
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let file = File::open(path).unwrap();
        assert!(try_lock(&file).unwrap());
        file
    };
    for name in ["state", "rbac"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let _held = [locked(".", 0o755), locked("rbac", 0o750)];
    fs::set_permissions(dir.path().join("state"), Permissions::from_mode(0o700)).unwrap();
    // On a disk that takes files, the lock file is one of mode 0600.
    let file = WorkLock::acquire(dir.path(), &owner()).unwrap();
    assert!(!file.is_dir);
    let mode = fs::metadata(dir.path().join(NAME)).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    let without = || WorkLock::without_file(dir.path(), &owner()).unwrap();
    let first = without().unwrap();
    assert!(without().is_err(), "by the directory state");
    drop(first);
    fs::remove_dir(dir.path().join("state")).unwrap();
    let unlocked = without().unwrap();
    assert!(unlocked.file.is_none());
    let attacher = AttacherLock::acquire(dir.path(), &owner(), &unlocked).unwrap();
    assert!(attacher.descriptor().is_none());
}

#[test]
fn a_lock_file_with_a_second_name_is_replaced_and_the_other_untouched() {
    if !geteuid().is_root() {
        println!("skipped: only root gives files away");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let owner = Account {
        uid: 4242,
        gid: 4343,
        ..owner()
    };
    let precious = dir.path().join("precious");
    for name in LOCK_FILES {
        fs::write(&precious, "content").unwrap();
        let _ = fs::remove_file(dir.path().join(name));
        fs::hard_link(&precious, dir.path().join(name)).unwrap();
        let lock = WorkLock::acquire(dir.path(), &owner).unwrap();
        let attacher = AttacherLock::acquire(dir.path(), &owner, &lock).unwrap();
        attacher.record(7);
        let found = fs::metadata(&precious).unwrap();
        assert_eq!((found.uid(), found.nlink()), (0, 1), "{name}");
        assert_eq!(fs::read(&precious).unwrap(), b"content");
        let ours = fs::metadata(dir.path().join(name)).unwrap();
        assert_eq!((ours.uid(), ours.mode() & 0o777), (4242, 0o600), "{name}");
        assert!(WorkLock::acquire(dir.path(), &owner).is_err(), "it locks");
    }
}
