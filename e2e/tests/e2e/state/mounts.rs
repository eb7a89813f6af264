//! Mounts over the daemon's directories, in a mount namespace of the test's own thread.
#![expect(clippy::panic, reason = "a test that cannot go on ends there")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use couic_e2e::{DaemonBuilder, until};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

use super::DEADLINE;

/// A mount over the state directory, visible only to this thread and the daemons that it starts.
pub(super) struct Disk {
    pub(super) dir: PathBuf,
    mounted: usize,
}

impl Disk {
    /// Mounts over the state directory.
    pub(super) fn new(builder: &DaemonBuilder<'_>) -> Self {
        Self::at(builder.working_dir().join("state"))
    }

    /// Mounts over the whole working directory.
    pub(super) fn of_all(builder: &DaemonBuilder<'_>) -> Self {
        Self::at(builder.working_dir())
    }

    pub(super) fn at(dir: PathBuf) -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
        fs::create_dir_all(&dir).expect("the directory");
        Self { dir, mounted: 0 }
    }

    pub(super) fn mount(
        &mut self,
        source: &str,
        kind: &str,
        flags: MsFlags,
        options: Option<&str>,
    ) {
        mount(Some(source), &self.dir, Some(kind), flags, options)
            .unwrap_or_else(|e| panic!("mount {source}: {e}"));
        self.mounted += 1;
        make_private(&self.dir);
    }

    pub(super) fn remount(&self, flags: MsFlags) {
        let flags = MsFlags::MS_REMOUNT | flags;
        // The attacher of a killed daemon has a file open for a moment longer.
        until("it is mounted anew", DEADLINE, || {
            mount(None::<&str>, &self.dir, None::<&str>, flags, None::<&str>).ok()
        });
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for _ in 0..self.mounted {
            // Best effort: it goes with the namespace anyway.
            let _ = umount2(&self.dir, MntFlags::MNT_DETACH);
        }
    }
}

pub(super) fn make_private(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // Fails if the file system is already read-only, in which case it was done before.
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
}

/// The kernel's `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`: all further access to the file system fails.
pub(super) fn break_file_system(dir: &Path) -> bool {
    use std::os::fd::AsRawFd;
    let Ok(file) = File::open(dir) else {
        return false;
    };
    let how: u32 = 2; // EXT4_GOING_FLAGS_NOLOGFLUSH
    // SAFETY: the descriptor is open, and the kernel reads four bytes through the pointer.
    unsafe { libc::ioctl(file.as_raw_fd(), 0x8004_587d, &raw const how) == 0 }
}

fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// A block device over a file, detached on drop.
pub(super) struct Loop(pub(super) String);

impl Loop {
    pub(super) fn new(image: &Path) -> Option<Self> {
        File::create(image).ok()?.set_len(16 << 20).ok()?;
        let image = image.to_str()?;
        run("mkfs.ext4", &["-q", "-F", image])?;
        run("losetup", &["--find", "--show", image]).map(Self)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = run("losetup", &["--detach", &self.0]);
    }
}
