//! Checks of the host: kernel, BPF file system, clock, disks.

use std::{fs, path::Path};

use couic_common::KernelVersion;
use nix::sys::{
    statfs::{BPF_FS_MAGIC, statfs},
    statvfs::{FsFlags, statvfs},
};

use super::Check;

/// Warning below this, in MiB.
const LITTLE: u64 = 256;
/// Failure below this, in MiB: writes will soon fail.
const NOTHING: u64 = 16;

pub(super) fn kernel(checks: &mut Vec<Check>) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    checks.push(check_release(release.trim()));
}

fn check_release(release: &str) -> Check {
    let Ok(version) = release.parse::<KernelVersion>() else {
        return Check::skip("kernel", format!("{release:?} is not a known version"));
    };
    let (found, oldest) = (format!("Linux {release}"), KernelVersion::OLDEST);
    if version < oldest {
        Check::fail("kernel", found).advise(format!(
            "Couic needs Linux {oldest} or later: boot a newer kernel"
        ))
    } else {
        Check::ok("kernel", found)
    }
}

pub(super) fn bpffs(checks: &mut Vec<Check>) {
    let path = Path::new("/sys/fs/bpf");
    checks.push(match statfs(path) {
        Ok(found) if found.filesystem_type() == BPF_FS_MAGIC => {
            Check::ok("bpffs", "mounted on /sys/fs/bpf")
        }
        Ok(_) => Check::warn("bpffs", "no bpffs is mounted on /sys/fs/bpf, so that only systemd can keep the filter while the daemon restarts")
            .advise("mount -t bpf -o mode=0700 bpf /sys/fs/bpf, then restart the daemon; when started as root, it mounts it itself unless the mount would not outlive it"),
        Err(error) => Check::skip("bpffs", format!("/sys/fs/bpf: {error}")),
    });
}

/// The kernel's view of the clock, if the daemon does not report it.
pub(super) fn clock(checks: &mut Vec<Check>) {
    // SAFETY: a structure of integers.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `modes` is 0, so that this only writes into `timex`.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    let synchronised =
        (state >= 0).then_some(state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0);
    checks.push(check_clock(synchronised));
}

pub(super) fn check_clock(synchronised: Option<bool>) -> Check {
    match synchronised {
        Some(true) => Check::ok("clock", "synchronised"),
        Some(false) => Check::warn("clock", "not synchronised, and expirations depend on it")
            .advise("run chrony or systemd-timesyncd: timedatectl set-ntp true"),
        None => Check::skip(
            "clock",
            "the kernel does not report whether it is synchronised",
        ),
    }
}

/// The disk of `path`, if the daemon does not report it.
pub(super) fn disk(holds: &str, path: &Path, checks: &mut Vec<Check>) {
    checks.push(match statvfs(path) {
        Err(error) => Check::skip(
            format!("disk {holds}"),
            format!("{}: {error}", path.display()),
        ),
        Ok(found) => check_disk(&DiskSpace {
            holds,
            path: &path.display().to_string(),
            bytes: found
                .blocks_available()
                .saturating_mul(found.fragment_size()),
            inodes: (found.files() > 0).then(|| found.files_available()),
            read_only: found.flags().contains(FsFlags::ST_RDONLY),
        }),
    });
}

/// Free space of a disk.
pub(super) struct DiskSpace<'a> {
    pub(super) holds: &'a str,
    pub(super) path: &'a str,
    pub(super) bytes: u64,
    /// None if the file system does not count them.
    pub(super) inodes: Option<u64>,
    pub(super) read_only: bool,
}

pub(super) fn check_disk(space: &DiskSpace<'_>) -> Check {
    let DiskSpace {
        holds,
        path,
        bytes,
        inodes,
        read_only,
    } = *space;
    let (name, mib) = (format!("disk {holds}"), bytes >> 20);
    let found = format!("{path}: {mib} MiB free");
    if read_only {
        let found = format!("{path} is mounted read-only, nothing survives a restart");
        return Check::fail(name, found).advise("see dmesg, then mount -o remount,rw");
    }
    if inodes.is_some_and(|inodes| inodes < 100) {
        return Check::fail(name, format!("{path}: almost no free inodes"))
            .advise("delete files there");
    }
    if mib < NOTHING {
        Check::fail(name, found).advise("free space: changes, sets and tokens cannot be saved")
    } else if mib < LITTLE {
        Check::warn(name, found).advise("free space before it is full")
    } else {
        Check::ok(name, found)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::CheckState, *};

    #[test]
    fn kernels_by_version() {
        for (release, state) in [
            ("6.18.0-rc3", CheckState::Ok),
            ("5.18.0", CheckState::Ok),
            ("5.15.0-91-generic", CheckState::Ok),
            ("5.10.0-33-amd64", CheckState::Ok),
            ("5.9.16", CheckState::Fail),
            ("4.19", CheckState::Fail),
            ("7.0+", CheckState::Ok),
            ("", CheckState::Skip),
            ("mainline", CheckState::Skip),
        ] {
            assert_eq!(check_release(release).state, state, "{release}");
        }
    }

    #[test]
    fn disks_by_free_space() {
        let of = |bytes, inodes, read_only| {
            check_disk(&DiskSpace {
                holds: "log",
                path: "/x",
                bytes,
                inodes,
                read_only,
            })
            .state
        };
        assert_eq!(of(1 << 30, Some(1_000), false), CheckState::Ok);
        assert_eq!(of(1 << 30, None, false), CheckState::Ok);
        assert_eq!(of(100 << 20, None, false), CheckState::Warn);
        assert_eq!(of(1 << 20, None, false), CheckState::Fail);
        assert_eq!(of(1 << 30, Some(3), false), CheckState::Fail);
        assert_eq!(of(1 << 30, None, true), CheckState::Fail);
    }

    #[test]
    fn this_host_can_be_checked() {
        let mut checks = Vec::new();
        kernel(&mut checks);
        bpffs(&mut checks);
        clock(&mut checks);
        disk("working_dir", Path::new("/"), &mut checks);
        disk("working_dir", Path::new("/no/such/place"), &mut checks);
        assert_eq!(checks.len(), 5);
        assert_eq!(checks[4].state, CheckState::Skip);
    }
}
