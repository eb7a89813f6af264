//! A machine on which nothing has mounted a bpf filesystem: the start does, where the mount outlives the daemon.

use couic_common::HealthStatus;
use couic_e2e::Lab;
use nix::sys::signal::Signal;

/// A mount namespace without a bpf filesystem, and a process namespace whose first process, the shell, stays when the
/// daemon ends: as on a machine, or in a container with an init.
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
fn it_is_mounted_where_the_mount_outlives_the_daemon() {
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
fn one_that_may_not_mount_says_so_with_the_command() {
    let Some(lab) = Lab::quiet() else { return };
    let script = "umount -a -t bpf; setpriv --bounding-set=-sys_admin -- \"$@\"; exit 7";
    let wrapper = [&MACHINE[..7], &[script, "sh"]].concat();
    let daemon = lab.daemon().stays(None).wrapped(&wrapper, &[]).start();
    let (status, health) = daemon.api().health();
    assert_eq!((status, health.status), (200, HealthStatus::Degraded));
    let problem = &health.filter_problems[0];
    assert!(problem.contains("without CAP_SYS_ADMIN"), "{problem}");
    assert!(
        problem.contains("run mount -t bpf bpf /sys/fs/bpf and restart"),
        "{problem}"
    );
    let _daemon = daemon.ended_by(Signal::SIGKILL);
}
