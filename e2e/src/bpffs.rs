//! A private bpf filesystem: in a mount namespace of its own, so that nothing of it remains.

use std::{
    fs::File,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::process::CommandExt,
    },
    process::Command,
    thread,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
};

/// The mount point of bpf filesystems.
const PLACE: &str = "/sys/fs/bpf";

/// A mount namespace with a new bpf filesystem. It ends when this is dropped and no process is left in it.
#[derive(Debug)]
pub struct BpfFs(File);

impl BpfFs {
    /// Creates one. None, with the reason printed, if this process may not.
    #[must_use]
    pub fn new() -> Option<Self> {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).map_err(|e| format!("no mount namespace: {e}"))?;
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
                .map_err(|e| format!("cannot make mounts private: {e}"))?;
            mount(Some("bpf"), PLACE, Some("bpf"), MsFlags::empty(), none)
                .map_err(|e| format!("cannot mount a bpf filesystem at {PLACE}: {e}"))?;
            File::open("/proc/thread-self/ns/mnt").map_err(|e| e.to_string())
        });
        match made.join().expect("the thread") {
            Ok(file) => Some(Self(file)),
            Err(why) => {
                println!("skipped: {why}");
                None
            }
        }
    }

    /// Makes the command run in this mount namespace.
    pub(crate) fn around(&self, command: &mut Command) {
        let fd = self.0.as_raw_fd();
        // SAFETY: between fork and exec only setns(2) is called, which is async-signal-safe; the descriptor is open in
        // the child as well, since close-on-exec takes effect later.
        unsafe {
            command.pre_exec(move || {
                setns(BorrowedFd::borrow_raw(fd), CloneFlags::CLONE_NEWNS).map_err(Into::into)
            });
        }
    }

    /// The names of all directories and files in it, without those of the kernel.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let shown = self.run("find", &[PLACE, "-mindepth", "1"]);
        let made = shown.lines().filter(|name| !name.ends_with(".debug"));
        made.map(str::to_owned).collect()
    }

    /// Runs a program in that namespace and returns its output.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        let mut command = Command::new(program);
        self.around(command.args(args));
        let output = command.output().expect("run it");
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Another handle for the same namespace.
    ///
    /// # Panics
    /// Without descriptors.
    #[must_use]
    pub fn again(&self) -> Self {
        let fd = self.0.as_fd().try_clone_to_owned();
        Self(fd.expect("a descriptor").into())
    }
}
