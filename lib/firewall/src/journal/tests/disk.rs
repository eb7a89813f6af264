//! Failing disks.

use std::fs::{self, OpenOptions};

use super::*;

impl Journal {
    /// Makes the disk full for the current log.
    pub(crate) fn fill_disk(&self) {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        self.writer.lock().segment.as_mut().unwrap().redirect(full);
    }
}

#[test]
fn a_full_disk_raises_an_alarm_and_nothing_is_missing_once_it_has_room() {
    let home = Home::new();
    let (journal, _) = home.open();
    let table = Table::default();
    table.set(&journal, key(0), vec![claim(0, 1)]);
    journal.commit();
    journal.fill_disk();
    for n in 1..1_000 {
        table.set(&journal, key(n), vec![claim(0, 1)]);
        journal.commit();
    }
    let problems = journal.problems();
    assert_eq!(problems.len(), 1);
    let message = &problems[0].message;
    for part in ["No space left", "NOT written", "999 so far"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(
        journal.pending.lock().frames.capacity(),
        0,
        "nothing is buffered"
    );
    let figures = journal.figures();
    assert_eq!((figures.records, figures.unrecorded), (2, 999));
    assert!(!figures.recording && figures.failures == 1);
    assert_eq!(home.read().len(), 1);
    journal.maintain(&[&table]);
    assert_eq!(journal.problems(), []);
    assert!(journal.figures().recording);
    assert_eq!(home.read(), table.rules());
    table.set(&journal, key(0), vec![]);
    journal.commit();
    assert_eq!(home.read(), table.rules());
}

#[test]
fn a_batch_written_in_part_leaves_a_readable_log() {
    let home = Home::new();
    let (journal, _) = home.open();
    let table = Table::default();
    for n in 0..5 {
        table.set(&journal, key(n), vec![claim(0, 1)]);
    }
    journal.commit();
    // Half a record, as from a disk that fills up in the middle of it.
    let (_, path) = home.state_files().pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 7);
    fs::write(&path, bytes).unwrap();
    journal.fill_disk();
    table.set(&journal, key(9), vec![claim(0, 1)]);
    journal.commit();
    journal.compact(&[&table]).unwrap();
    assert_eq!(home.read(), table.rules());
}

#[test]
fn an_unwritable_directory_is_an_alarm_and_no_error() {
    // Not even root can create a file below /proc.
    let (journal, recovered) = Journal::open(Path::new("/proc/self/net")).unwrap();
    assert_eq!(recovered, Recovered::default());
    let table = Table::default();
    table.set(&journal, key(0), vec![claim(0, 1)]);
    journal.commit();
    journal.maintain(&[&table]);
    let message = &journal.problems()[0].message;
    assert!(message.contains("1 so far"), "{message}");
}

#[test]
fn a_removed_state_directory_is_written_again() {
    let home = Home::new();
    let (journal, _) = home.open();
    let table = Table::default();
    table.set(&journal, key(0), vec![claim(0, 1)]);
    journal.commit();
    journal.maintain(&[&table]);
    fs::remove_dir_all(home.dir()).unwrap();
    journal.maintain(&[&table]);
    assert_eq!(home.read(), table.rules());
    assert_eq!(journal.problems(), []);
}

#[test]
fn only_a_private_directory_is_trusted() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    drop(home.open());
    fs::set_permissions(home.dir(), fs::Permissions::from_mode(0o770)).unwrap();
    let error = Journal::open(&home.dir()).unwrap_err().to_string();
    assert!(error.contains("run chmod go-w"), "{error}");
    fs::set_permissions(home.dir(), fs::Permissions::from_mode(0o700)).unwrap();
    let (name, path) = home.state_files().pop().unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = Journal::open(&home.dir()).unwrap_err().to_string();
    assert!(
        error.contains(&format!("chmod 0600 {}", path.display())),
        "{error} {name}"
    );
}
