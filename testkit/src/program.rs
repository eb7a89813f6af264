//! A program as a child process that does not outlive its test.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::wait::{LONG, until};

/// The argument by which the daemon's process that attaches XDP programs is known.
pub const ATTACHER: &str = "attacher";

/// A running program. It is killed on drop, and what it printed is shown when the test fails.
#[derive(Debug)]
pub struct Program {
    child: Child,
    output: PathBuf,
    /// Where what it prints begins in that file.
    from: usize,
}

impl Program {
    /// Starts it without input. What it prints is appended to the file `output`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(mut command: Command, output: &Path) -> Self {
        let file = File::options().create(true).append(true).open(output);
        let file = file.unwrap_or_else(|e| panic!("{}: {e}", output.display()));
        let from = file.metadata().expect("the size of a file").len();
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second descriptor"))
            .stderr(file);
        let child = command.spawn();
        Self {
            child: child.unwrap_or_else(|e| panic!("{command:?}: {e}")),
            output: output.to_owned(),
            from: usize::try_from(from).expect("64 bit"),
        }
    }

    /// Awaits a condition, or the program's end.
    ///
    /// # Errors
    /// How it ended.
    ///
    /// # Panics
    /// When neither comes within [`LONG`].
    pub fn until<T>(
        &mut self,
        what: &str,
        mut condition: impl FnMut() -> Option<T>,
    ) -> Result<T, ExitStatus> {
        until(what, LONG, || {
            // Asked first: the condition may hold because of what it did last.
            let ended = self.ended();
            condition().map(Ok).or(ended.map(Err))
        })
        .0
    }

    /// Awaits a word in what it prints, and returns all of that up to now.
    ///
    /// # Errors
    /// All that it printed until it ended.
    pub fn until_printed(&mut self, word: &str) -> Result<String, String> {
        let (output, from) = (self.output.clone(), self.from);
        let printed = || {
            fs::read_to_string(&output)
                .unwrap_or_default()
                .split_off(from)
        };
        let found = self.until(word, || Some(printed()).filter(|text| text.contains(word)));
        found.map_err(|_| printed())
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait for a child")
    }

    /// The process.
    ///
    /// # Panics
    /// Never on Linux, where process ids are small.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|e| panic!("{signal}: {e}"));
    }

    /// Awaits its end, and returns its exit code, or minus the signal that ended it.
    pub fn exit_code(&mut self) -> i32 {
        let (status, _) = until("the program ends", LONG, || self.ended());
        status
            .code()
            .unwrap_or_else(|| -status.signal().unwrap_or_default())
    }

    /// Sends a signal, and returns as [`Program::exit_code`].
    pub fn end(&mut self, signal: Signal) -> i32 {
        self.signal(signal);
        self.exit_code()
    }

    /// Everything that was printed so far, by those before it too that shared its file.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            println!(
                "--- what {} has ---\n{}",
                self.output.display(),
                self.output()
            );
        }
    }
}

/// Copies a program that is to be started, in another process. One that this process has open for writing may not be
/// started (`ETXTBSY`), and a child that another test forks meanwhile keeps it open until it calls `exec`.
///
/// # Panics
/// When it cannot be copied.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .arg(from)
        .arg(to)
        .status()
        .expect("run cp");
    assert!(copied.success(), "cp {from:?} {to:?}: {copied}");
}

/// The daemon's process that attaches for it.
#[must_use]
pub fn attacher(daemon: Pid) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children"));
    children
        .unwrap_or_default()
        .split_whitespace()
        .find_map(|pid| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let is_it = line.split('\0').any(|word| word == ATTACHER);
            is_it.then(|| pid.parse().ok().map(Pid::from_raw))?
        })
}

/// The token of the client `couicctl`, as the daemon wrote it into its working directory.
///
/// # Panics
/// When the file is not there, or not as the daemon writes it.
#[must_use]
pub fn admin_token(working_dir: &Path) -> String {
    let path = working_dir.join("rbac/clients/couicctl.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let token = text
        .lines()
        .find_map(|line| line.strip_prefix("token = \"")?.strip_suffix('"'));
    token
        .unwrap_or_else(|| panic!("{}: no token", path.display()))
        .to_owned()
}
