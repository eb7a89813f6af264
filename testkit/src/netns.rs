//! Anonymous network namespaces, kept alive by a file descriptor alone.

use std::{
    fs::File,
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::process::CommandExt,
    },
    process::{Command, Output},
    sync::Arc,
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace. It ends when all clones are dropped and no process or socket is left in it.
#[derive(Clone, Debug)]
pub struct Netns(Arc<File>);

impl Netns {
    /// Creates a namespace with its loopback interface up.
    ///
    /// # Errors
    /// The system's error: usually this process is not root.
    pub fn new() -> Result<Self, String> {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|e| format!("cannot make a network namespace: {e}"))?;
            File::open("/proc/thread-self/ns/net")
                .map_err(|e| format!("/proc/thread-self/ns/net: {e}"))
        });
        let netns = Self(Arc::new(made.join().map_err(|_| "the thread panicked")??));
        netns.run("ip", &["link", "set", "lo", "up"]);
        Ok(netns)
    }

    /// A path to the namespace while this process lives; `ip` accepts it as a namespace.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// A command that will run in the namespace.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let fd: RawFd = self.0.as_raw_fd();
        // SAFETY: between fork and exec only setns(2) is called, which is async-signal-safe; the descriptor is open
        // in the child as well, since close-on-exec takes effect later.
        unsafe {
            command.pre_exec(move || {
                let fd = std::os::fd::BorrowedFd::borrow_raw(fd);
                setns(fd, CloneFlags::CLONE_NEWNET).map_err(Into::into)
            });
        }
        command
    }

    /// Runs a command in the namespace and returns its standard output.
    ///
    /// # Panics
    /// If it cannot be started or fails: the message has its output.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        let output = self.output(program, args);
        assert!(
            output.status.success(),
            "{program} {args:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a command in the namespace, which may fail.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn output(&self, program: &str, args: &[&str]) -> Output {
        self.command(program)
            .args(args)
            .output()
            .unwrap_or_else(|e| panic!("{program}: {e}"))
    }

    /// Runs `work` in a thread of the namespace. Sockets created there stay in it, whichever thread uses them.
    ///
    /// # Panics
    /// If `work` panics.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET).expect("enter the namespace");
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}
