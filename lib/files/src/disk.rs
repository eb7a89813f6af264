//! Disks that cannot be written: read-only, full, or broken. They are no reason not to filter.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Whether the error means that the disk cannot be written.
#[must_use]
pub fn refuses_data(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(
        error.kind(),
        ReadOnlyFilesystem | StorageFull | QuotaExceeded
    ) || error.raw_os_error() == Some(libc::EIO)
}

/// The mount point of the path's file system, for messages; `/` if it cannot be found.
#[must_use]
pub fn mount_of(path: &Path) -> PathBuf {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let found = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|mount| path.starts_with(mount))
        .max_by_key(|mount| mount.as_os_str().len());
    found.unwrap_or_else(|| PathBuf::from("/"))
}

/// How to repair a disk that cannot be written, for the end of a message.
#[must_use]
pub fn advice(path: &Path, error: &io::Error) -> String {
    let mount = mount_of(path);
    let mount = mount.display();
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            format!(
                "{mount} is mounted read-only: run mount -o remount,rw {mount}, and restart couic"
            )
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("free space on {mount}, and restart couic")
        }
        _ => format!("check the disk of {mount} (dmesg), and restart couic"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_disk_are_told_from_those_of_a_request() {
        for number in [libc::EROFS, libc::ENOSPC, libc::EDQUOT, libc::EIO] {
            assert!(refuses_data(&io::Error::from_raw_os_error(number)));
        }
        for number in [libc::EACCES, libc::ENOENT, libc::ELOOP] {
            assert!(!refuses_data(&io::Error::from_raw_os_error(number)));
        }
    }

    #[test]
    fn the_innermost_mount_is_named() {
        assert_eq!(mount_of(Path::new("/proc/self/status")), Path::new("/proc"));
        let read_only = io::Error::from_raw_os_error(libc::EROFS);
        let told = advice(Path::new("/proc/sys"), &read_only);
        assert!(told.contains("mount -o remount,rw /proc"), "{told}");
    }
}
