//! The machine: kernel, BPF file system, clock, disks.

use std::{fs, path::Path};

use couic_common::KernelVersion;
use nix::sys::{
    statfs::{BPF_FS_MAGIC, statfs},
    statvfs::{FsFlags, statvfs},
};

use super::Check;

/// Less is worth a look, in MiB.
const LITTLE: u64 = 256;
/// With less, writes fail soon.
const NOTHING: u64 = 16;

pub(super) fn kernel(checks: &mut Vec<Check>) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    checks.push(of_release(release.trim()));
}

fn of_release(release: &str) -> Check {
    let Ok(version) = release.parse::<KernelVersion>() else {
        return Check::skip("kernel", format!("{release:?} is no version that is known"));
    };
    let (found, oldest) = (format!("Linux {release}"), KernelVersion::OLDEST);
    if version < oldest {
        Check::fail("kernel", found).so(format!(
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
        Ok(_) => Check::warn("bpffs", "nothing is mounted on /sys/fs/bpf, so that only systemd can keep the filter while the daemon restarts")
            .so("mount -t bpf bpf /sys/fs/bpf, then restart the daemon; a start as root mounts it itself, unless the mount would end with the daemon"),
        Err(error) => Check::skip("bpffs", format!("/sys/fs/bpf: {error}")),
    });
}

/// What the kernel says, where the daemon does not tell.
pub(super) fn clock(checks: &mut Vec<Check>) {
    // SAFETY: a structure of integers.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `modes` is 0, so that this only writes into `timex`.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    let synchronised =
        (state >= 0).then_some(state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0);
    checks.push(of_clock(synchronised));
}

pub(super) fn of_clock(synchronised: Option<bool>) -> Check {
    match synchronised {
        Some(true) => Check::ok("clock", "synchronised"),
        Some(false) => Check::warn("clock", "nothing keeps it right, and expirations go by it")
            .so("run chrony or systemd-timesyncd: timedatectl set-ntp true"),
        None => Check::skip(
            "clock",
            "the kernel does not tell whether it is synchronised",
        ),
    }
}

/// Where the daemon does not tell.
pub(super) fn disk(holds: &str, path: &Path, checks: &mut Vec<Check>) {
    checks.push(match statvfs(path) {
        Err(error) => Check::skip(
            format!("disk {holds}"),
            format!("{}: {error}", path.display()),
        ),
        Ok(found) => of_disk(&Room {
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

/// What is left of a disk.
pub(super) struct Room<'a> {
    pub(super) holds: &'a str,
    pub(super) path: &'a str,
    pub(super) bytes: u64,
    /// None where the file system does not count them.
    pub(super) inodes: Option<u64>,
    pub(super) read_only: bool,
}

pub(super) fn of_disk(room: &Room<'_>) -> Check {
    let Room {
        holds,
        path,
        bytes,
        inodes,
        read_only,
    } = *room;
    let (name, mib) = (format!("disk {holds}"), bytes >> 20);
    let found = format!("{path}: {mib} MiB free");
    if read_only {
        let found = format!("{path} is mounted read-only, nothing survives a restart");
        return Check::fail(name, found).so("see dmesg, then mount -o remount,rw");
    }
    if inodes.is_some_and(|inodes| inodes < 100) {
        return Check::fail(name, format!("{path}: no inodes left for new files"))
            .so("remove files there");
    }
    if mib < NOTHING {
        Check::fail(name, found).so("make room: changes, sets and tokens cannot be kept")
    } else if mib < LITTLE {
        Check::warn(name, found).so("make room before it is full")
    } else {
        Check::ok(name, found)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn kernels_by_what_they_can_do() {
        for (release, state) in [
            ("6.18.0-rc3", State::Ok),
            ("5.18.0", State::Ok),
            ("5.15.0-91-generic", State::Ok),
            ("5.10.0-33-amd64", State::Ok),
            ("5.9.16", State::Fail),
            ("4.19", State::Fail),
            ("7.0+", State::Ok),
            ("", State::Skip),
            ("mainline", State::Skip),
        ] {
            assert_eq!(of_release(release).state, state, "{release}");
        }
    }

    #[test]
    fn disks_by_what_is_left() {
        let of = |bytes, inodes, read_only| {
            of_disk(&Room {
                holds: "log",
                path: "/x",
                bytes,
                inodes,
                read_only,
            })
            .state
        };
        assert_eq!(of(1 << 30, Some(1_000), false), State::Ok);
        assert_eq!(of(1 << 30, None, false), State::Ok);
        assert_eq!(of(100 << 20, None, false), State::Warn);
        assert_eq!(of(1 << 20, None, false), State::Fail);
        assert_eq!(of(1 << 30, Some(3), false), State::Fail);
        assert_eq!(of(1 << 30, None, true), State::Fail);
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let mut checks = Vec::new();
        kernel(&mut checks);
        bpffs(&mut checks);
        clock(&mut checks);
        disk("working_dir", Path::new("/"), &mut checks);
        disk("working_dir", Path::new("/no/such/place"), &mut checks);
        assert_eq!(checks.len(), 5);
        assert_eq!(checks[4].state, State::Skip);
    }
}
