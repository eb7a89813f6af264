//! The bpf filesystem for pins: systemd mounts it on most machines; otherwise the start does.
//!
//! A mount lives as long as its mount namespace. A namespace of the daemon's own, such as `ip netns exec` creates for
//! its command, ends with the daemon, and so would pins in it. So it is mounted only if process 1 lives in the same
//! namespace; otherwise the error says what to do.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use couic_privsep::CAP_SYS_ADMIN;
use nix::{
    mount::{MsFlags, mount},
    unistd::getpid,
};

use super::pins::{BPF_FS, is_bpf_fs};

/// The inode of the initial mount namespace on kernels where it is fixed (`MNT_NS_INIT_INO` of linux/nsfs.h).
const INITIAL_MOUNT_NAMESPACE: u64 = 0xefff_fff8;

/// The mount options of systemd.
const FLAGS: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);
const MODE: &str = "mode=0700";

/// Mounts a bpf filesystem if there is none. The error says why that failed, and what to do.
pub(super) fn provide() -> Result<(), String> {
    if is_bpf_fs(BPF_FS.as_ref()) {
        return Ok(());
    }
    if !Path::new(BPF_FS).is_dir() {
        return Err(format!(
            "there is no directory {BPF_FS} to mount a bpf filesystem on: run mount -t sysfs sysfs /sys, then mount -t bpf -o mode=0700 bpf {BPF_FS}, and restart"
        ));
    }
    if !outlives(
        &namespace("self", "mnt"),
        &namespace("1", "mnt"),
        getpid().as_raw(),
    ) {
        return Err(short_lived(network_namespace().as_deref()));
    }
    let may = couic_privsep::sets().is_ok_and(|sets| sets.effective.has(CAP_SYS_ADMIN));
    if !may {
        return Err(by_hand("couic was started without CAP_SYS_ADMIN"));
    }
    mount(Some("bpf"), BPF_FS, Some("bpf"), FLAGS, Some(MODE))
        .map_err(|error| by_hand(&format!("the kernel refuses: {error}")))?;
    tracing::info!("mounted a bpf filesystem at {BPF_FS}, which keeps the filter when couic ends");
    Ok(())
}

fn by_hand(why: &str) -> String {
    format!(
        "run mount -t bpf -o mode=0700 bpf {BPF_FS} and restart couic, which could not do it itself ({why})"
    )
}

fn short_lived(netns: Option<&Path>) -> String {
    let netns = netns.unwrap_or(Path::new("/run/netns/NAME")).display();
    format!(
        "start couic by nsenter --net={netns} instead of ip netns exec, in a container with --volume {BPF_FS}:{BPF_FS}, and if nothing has mounted it after mount -t bpf -o mode=0700 bpf {BPF_FS} on the machine: a mount of couic's own would end with it"
    )
}

/// Whether the mount namespace outlives this process, by the inodes of its own and of the namespace of process 1 (of
/// the machine or of the container).
fn outlives(own: &io::Result<u64>, first: &io::Result<u64>, pid: i32) -> bool {
    match (own, first) {
        (Ok(INITIAL_MOUNT_NAMESPACE), _) => true,
        (Ok(own), Ok(first)) => own == first && pid != 1,
        _ => false,
    }
}

fn namespace(process: &str, kind: &str) -> io::Result<u64> {
    Ok(fs::metadata(format!("/proc/{process}/ns/{kind}"))?.ino())
}

/// The file of `ip netns` for the network namespace of this process.
fn network_namespace() -> Option<PathBuf> {
    let own = namespace("self", "net").ok()?;
    let mut files = fs::read_dir("/run/netns").ok()?.flatten();
    let found = files.find(|file| fs::metadata(file.path()).is_ok_and(|m| m.ino() == own))?;
    Some(found.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> io::Result<u64> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    #[test]
    fn a_mount_outlives_couic_if_process_1_has_the_same_namespace() {
        let (a, b) = (|| Ok(0xf000_0000), || Ok(0xf000_0017));
        assert!(
            outlives(&a(), &a(), 700),
            "a machine, a container with an init"
        );
        assert!(!outlives(&a(), &b(), 700), "ip netns exec, unshare -m");
        assert!(!outlives(&a(), &a(), 1), "a container that is couic alone");
        assert!(!outlives(&a(), &denied(), 700), "unknown namespace");
        assert!(!outlives(&denied(), &a(), 700));
        assert!(outlives(&Ok(INITIAL_MOUNT_NAMESPACE), &denied(), 700));
    }

    #[test]
    fn each_error_says_what_to_do() {
        let told = short_lived(Some(Path::new("/run/netns/blue")));
        assert!(
            told.contains("couic by nsenter --net=/run/netns/blue "),
            "{told}"
        );
        assert!(short_lived(None).contains("--net=/run/netns/NAME"));
        let told = by_hand("the kernel refuses: EPERM");
        assert!(
            told.starts_with("run mount -t bpf -o mode=0700 bpf /sys/fs/bpf and restart couic,"),
            "{told}"
        );
        assert!(told.ends_with("(the kernel refuses: EPERM)"), "{told}");
    }
}
