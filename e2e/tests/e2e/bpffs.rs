//! A machine without a mounted bpf filesystem: the daemon mounts it at the start, if the mount outlives the daemon.

use couic_common::HealthStatus;
use couic_e2e::Lab;
use nix::sys::signal::Signal;

/// A mount namespace without a bpf filesystem, and a PID namespace whose init, the shell, outlives the daemon: as on a
/// machine, or in a container with an init.
const MACHINE: [&str; 8] = [
    "unshare",
    "--mount",
    "--pid",
    "--mount-proc",
    "--kill-child",
    "sh",
    "-c",
    "umount -a -t bpf; \"$@\"; exit 7",
];

#[test]
fn bpffs_is_mounted_if_the_mount_outlives_the_daemon() {
    let Some(lab) = Lab::quiet() else { return };
    let wrapper = [&MACHINE[..], &["sh"]].concat();
    let daemon = lab.daemon().stays(None).wrapped(&wrapper, &[]).start();
    let (status, health) = daemon.api().health();
    assert_eq!((status, health.status), (200, HealthStatus::Ok));
    assert_eq!(health.filter_problems, [""; 0], "it can stay");
    let said = "mounted a bpf filesystem at /sys/fs/bpf, which keeps the filter when couic ends";
    assert!(daemon.output().contains(said), "{}", daemon.output());
    let _daemon = daemon.ended_by(Signal::SIGKILL);
}

#[test]
fn a_daemon_that_may_not_mount_bpffs_reports_the_command() {
    let Some(lab) = Lab::quiet() else { return };
    let script = "umount -a -t bpf; setpriv --bounding-set=-sys_admin -- \"$@\"; exit 7";
    let wrapper = [&MACHINE[..7], &[script, "sh"]].concat();
    let daemon = lab.daemon().stays(None).wrapped(&wrapper, &[]).start();
    let (status, health) = daemon.api().health();
    assert_eq!((status, health.status), (200, HealthStatus::Degraded));
    let problem = &health.filter_problems[0];
    assert!(problem.contains("without CAP_SYS_ADMIN"), "{problem}");
    assert!(
        problem.contains("run mount -t bpf -o mode=0700 bpf /sys/fs/bpf and restart"),
        "{problem}"
    );
    let _daemon = daemon.ended_by(Signal::SIGKILL);
}
