//! Locks on a real directory.

use nix::unistd::getegid;

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
    let handed_on = first.as_fd().try_clone_to_owned().unwrap();
    drop(first);
    let told = take(Duration::ZERO).unwrap_err().to_string();
    assert!(
        told.starts_with("the attacher of a couic that has exited")
            && told.contains(&format!("kill process {}", std::process::id())),
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
    // As on a read-only file system without a lock file.
    let lock = WorkLock {
        file: File::open(dir.path()).unwrap(),
        is_dir: true,
    };
    assert!(try_lock(&lock.file).unwrap());
    let attacher = AttacherLock::acquire(dir.path(), &owner(), &lock).unwrap();
    attacher.record(1);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let other = File::open(dir.path()).unwrap();
    assert!(!try_lock(&other).unwrap());
    drop(lock);
    assert!(!try_lock(&other).unwrap(), "the attacher still holds it");
    drop(attacher);
    assert!(try_lock(&other).unwrap());
}
