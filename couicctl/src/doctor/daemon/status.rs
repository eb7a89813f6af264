//! Checks of the daemon's status: clock, disks, descriptors, its unit, unconfirmed changes.

use couic_common::{DaemonStatus, counted};

use super::{
    super::{
        Check,
        machine::{DiskSpace, check_clock, check_disk},
    },
    CLOCK_APART,
};

/// Jump of the clock since the daemon's start that is worth a warning, in milliseconds.
const JUMP: u64 = 5_000;

pub(super) fn check_status(status: &DaemonStatus, now: u64, checks: &mut Vec<Check>) {
    checks.push(clock(status, now));
    for disk in &status.disks {
        checks.push(match &disk.problem {
            Some(problem) => Check::fail(
                format!("disk {}", disk.holds),
                format!("{}: {problem}", disk.path),
            ),
            None => check_disk(&DiskSpace {
                holds: &disk.holds,
                path: &disk.path,
                bytes: disk.free_bytes,
                inodes: (disk.total_inodes > 0).then_some(disk.free_inodes),
                read_only: disk.read_only,
            }),
        });
    }
    checks.push(descriptors(status.open_files, status.open_files_limit));
    checks.push(restart(status));
    checks.push(match status.pending_confirmations {
        0 => Check::ok("confirm", "no change awaits confirmation"),
        1 => Check::warn("confirm", "a change is undone unless it is confirmed")
            .advise("couicctl confirm list"),
        count => Check::warn(
            "confirm",
            format!("{count} changes are undone unless they are confirmed"),
        )
        .advise("couicctl confirm list"),
    });
}

fn clock(status: &DaemonStatus, now: u64) -> Check {
    let apart = status.now_ms.abs_diff(now.saturating_mul(1_000));
    if apart > CLOCK_APART {
        let seconds = apart / 1_000;
        let check = Check::warn(
            "clock",
            format!("the daemon's clock differs from this host's by {seconds} s"),
        );
        return check.advise("correct the wrong one: couicctl computes -e from this host's clock");
    }
    let jumped = status.clock_jumped_ms;
    if jumped.unsigned_abs() > JUMP {
        let (seconds, way) = (
            jumped.unsigned_abs() / 1_000,
            if jumped > 0 { "forward" } else { "backward" },
        );
        let check = Check::warn(
            "clock",
            format!("has jumped {seconds} s {way} since the daemon's start"),
        );
        return check
            .advise("rules expired early or late by that; run chrony or systemd-timesyncd");
    }
    check_clock(status.clock_synchronised)
}

fn descriptors(open: u64, limit: u64) -> Check {
    let found = format!("{open} of {limit} in use");
    if open == 0 || limit == 0 {
        Check::skip("descriptors", "the daemon does not know")
    } else if open >= limit.saturating_mul(9) / 10 {
        Check::fail("descriptors", found).advise("connections will soon be refused: look for clients that do not close connections, or raise LimitNOFILE=")
    } else {
        Check::ok("descriptors", found)
    }
}

/// Whether systemd keeps the filter while the daemon restarts.
fn restart(status: &DaemonStatus) -> Check {
    match (status.systemd, status.systemd_fd_store) {
        (true, Some(count)) if count > 0 => Check::ok(
            "unit",
            format!(
                "systemd keeps up to {} across a restart",
                counted(count, "file descriptor", "file descriptors")
            ),
        ),
        (true, _) => Check::warn("unit", "systemd keeps no file descriptors for the daemon")
            .advise("set FileDescriptorStoreMax= in its unit, as the packaged one does"),
        (false, _) => Check::ok("unit", "not started by systemd"),
    }
}
