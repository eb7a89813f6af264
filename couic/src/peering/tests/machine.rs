//! The file with this machine's number.

use std::{fs, os::unix::fs::PermissionsExt};

use super::super::{MACHINE, machine};

#[test]
fn the_number_stays_and_a_torn_file_is_replaced_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(MACHINE);
    let number = machine(dir.path()).unwrap();
    assert_eq!(machine(dir.path()).unwrap(), number);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!("{number:08x}\n")
    );
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    fs::write(&path, "12").unwrap();
    let number = machine(dir.path()).unwrap();
    assert_eq!(machine(dir.path()).unwrap(), number);
    // The content was written aside and renamed: nothing else is left.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn the_number_written_by_the_version_before_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(MACHINE);
    fs::write(&path, "911f49b1\n").unwrap();
    assert_eq!(machine(dir.path()).unwrap(), 0x911f_49b1);
    assert_eq!(fs::read_to_string(&path).unwrap(), "911f49b1\n");
}
