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

/// The argument that identifies the daemon's attacher process.
pub const ATTACHER: &str = "attacher";

/// A running program. It is killed on drop, and its output is printed if the test fails.
#[derive(Debug)]
pub struct Program {
    child: Child,
    output: PathBuf,
    /// The offset of its output in that file.
    from: usize,
}

impl Program {
    /// Starts it without input. Its output is appended to the file `output`.
    ///
    /// # Panics
    /// If it cannot be started.
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
    /// Its exit status.
    ///
    /// # Panics
    /// If neither happens within [`LONG`].
    pub fn until<T>(
        &mut self,
        what: &str,
        mut condition: impl FnMut() -> Option<T>,
    ) -> Result<T, ExitStatus> {
        until(what, LONG, || {
            // Checked first: its last action may fulfill the condition.
            let ended = self.ended();
            condition().map(Ok).or(ended.map(Err))
        })
        .0
    }

    /// Awaits a word in its output, and returns the output so far.
    ///
    /// # Errors
    /// Its whole output, if it ended.
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

    /// Its exit status, if it has ended.
    ///
    /// # Panics
    /// If it cannot be waited for.
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
    /// If the process is gone.
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

    /// The output so far, with that of earlier programs with the same file.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            println!("--- {} ---\n{}", self.output.display(), self.output());
        }
    }
}

/// Copies a program in another process. A file that this process has open for writing cannot be executed (`ETXTBSY`), and
/// a child that another test forks meanwhile keeps it open until its `exec`.
///
/// # Panics
/// If it cannot be copied.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .arg(from)
        .arg(to)
        .status()
        .expect("run cp");
    assert!(copied.success(), "cp {from:?} {to:?}: {copied}");
}

/// The daemon's attacher process.
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
/// If the file is missing, or does not have the daemon's format.
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
