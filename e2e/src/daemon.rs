//! The daemon as a process of its own, in the host's namespace, with everything it writes in a temporary directory.

mod builder;

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use couic_common::Policy;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

pub use builder::DaemonBuilder;
use builder::{Way, command, detach, write_set_file};

use crate::{Api, Lab, until};

/// Verifying the program and mapping its tables takes a debug build seconds on a busy machine.
const START: Duration = Duration::from_secs(60);
/// Longer than the daemon's own deadline for draining.
const STOP: Duration = Duration::from_secs(60);

/// A daemon that did not start.
#[derive(Debug)]
pub struct Refusal {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub output: String,
    home: TempDir,
    way: Box<Way>,
}

impl Refusal {
    /// A daemon in the same directories, as after [`Daemon::builder`].
    #[must_use]
    pub fn again(self, lab: &Lab) -> DaemonBuilder<'_> {
        DaemonBuilder::again(lab, self.home, *self.way)
    }
}

/// A running daemon; killed on drop, with its log printed where the test failed.
#[derive(Debug)]
pub struct Daemon<'lab> {
    lab: &'lab Lab,
    home: TempDir,
    way: Way,
    child: Child,
    api: Api,
}

/// What `couicctl` did.
#[derive(Debug)]
pub struct CtlOutput {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl<'lab> Daemon<'lab> {
    fn launch(lab: &'lab Lab, home: TempDir, way: Way) -> Result<Self, Refusal> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(home.path().join("output"))
            .expect("a file for the output");
        let child = command(lab, &way)
            .arg("-c")
            .arg(home.path().join("couic.toml"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second descriptor"))
            .stderr(output)
            .spawn()
            .expect("start couic");
        let api = Api::new(&home.path().join("couic.sock"), String::new());
        let mut daemon = Self {
            lab,
            home,
            way,
            child,
            api,
        };
        match daemon.await_ready() {
            Ok(()) => Ok(daemon),
            Err(status) => {
                let output = daemon.output();
                let (home, way) = daemon.take();
                Err(Refusal {
                    status,
                    output,
                    home,
                    way: Box::new(way),
                })
            }
        }
    }

    fn await_ready(&mut self) -> Result<(), ExitStatus> {
        let ended = until("couic answers or gives up", START, || {
            if let Some(status) = self.child.try_wait().expect("wait for couic") {
                return Some(Some(status));
            }
            let up = self.api.try_request("GET", "/v1/health", None).is_ok();
            up.then_some(None)
        });
        if let Some(status) = ended.0 {
            return Err(status);
        }
        self.api = Api::new(&self.socket(), self.token());
        Ok(())
    }

    /// Starts the daemon again after it ended, in the same directories.
    ///
    /// # Panics
    /// Where it still runs, or does not start.
    #[must_use]
    pub fn restart(mut self) -> Self {
        let ended = self.child.try_wait().expect("wait for couic");
        assert!(ended.is_some(), "couic still runs");
        let (home, way) = self.take();
        Self::launch(self.lab, home, way).unwrap_or_else(|r| panic!("{}\n{}", r.status, r.output))
    }

    /// A daemon in the same directories, started in the same way, that keeps the filter, with a configuration of its
    /// own.
    ///
    /// # Panics
    /// Where this one still runs.
    #[must_use]
    pub fn builder(mut self) -> DaemonBuilder<'lab> {
        let ended = self.child.try_wait().expect("wait for couic");
        assert!(ended.is_some(), "couic still runs");
        let (home, way) = self.take();
        DaemonBuilder::again(self.lab, home, way)
    }

    /// The process that attaches for it.
    #[must_use]
    pub fn attacher(&self) -> Option<Pid> {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        let children = fs::read_to_string(path).unwrap_or_default();
        children.split_whitespace().find_map(|pid| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let is_it = line.split('\0').any(|word| word == "attacher");
            is_it.then(|| pid.parse().ok().map(Pid::from_raw))?
        })
    }

    /// Ends it with a signal and waits.
    ///
    /// # Panics
    /// Where it ends otherwise than that signal should make it.
    #[must_use]
    pub fn ended_by(mut self, signal: Signal) -> Self {
        self.signal(signal);
        let expected = if signal == Signal::SIGKILL { -9 } else { 0 };
        assert_eq!(self.exit_code(), expected, "{}", self.output());
        self
    }

    /// Runs `couic detach` and answers its exit code and what it printed.
    #[must_use]
    pub fn detach(&self) -> (i32, String) {
        detach(self.lab, self.home.path(), &self.way)
    }

    fn take(&mut self) -> (TempDir, Way) {
        let empty = TempDir::new().expect("a temporary directory");
        let home = std::mem::replace(&mut self.home, empty);
        (home, std::mem::take(&mut self.way))
    }

    /// The API, with the admin's token.
    #[must_use]
    pub const fn api(&self) -> &Api {
        &self.api
    }

    /// The API with some other token.
    #[must_use]
    pub fn api_as(&self, token: &str) -> Api {
        Api::new(&self.socket(), token.to_owned())
    }

    /// Runs `couicctl` in the host's namespace.
    #[must_use]
    pub fn ctl(&self, args: &[&str]) -> CtlOutput {
        self.ctl_with_env(args, &[])
    }

    /// The same, with more in its environment.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn ctl_with_env(&self, args: &[&str], env: &[(&str, &str)]) -> CtlOutput {
        let output = self
            .lab
            .host
            .command(self.lab.binary("couicctl"))
            .arg("-c")
            .arg(self.home.path().join("couicctl.toml"))
            .args(args)
            // The developer's own SSH session is not part of the test.
            .env_remove("SSH_CONNECTION")
            .env_remove("SSH_CLIENT")
            .envs(env.iter().copied())
            .output()
            .expect("start couicctl");
        CtlOutput {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs `couicctl`, which must succeed, and returns what it printed.
    ///
    /// # Panics
    /// Where it fails.
    pub fn ctl_ok(&self, args: &[&str]) -> String {
        let output = self.ctl(args);
        assert_eq!(output.code, 0, "couicctl {args:?}: {output:?}");
        output.stdout
    }

    /// Writes a set file past the API.
    pub fn set_file(&self, policy: Policy, name: &str, text: &str) {
        write_set_file(self.home.path(), policy, name, text);
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// Where the daemon is gone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("signal couic");
    }

    /// Waits for the end of the process and returns its exit code, or minus the signal that ended it.
    pub fn exit_code(&mut self) -> i32 {
        let (status, _) = until("couic ends", STOP, || {
            self.child.try_wait().expect("wait for couic")
        });
        status
            .code()
            .unwrap_or_else(|| -status.signal().unwrap_or_default())
    }

    /// The process.
    ///
    /// # Panics
    /// Never on Linux, where process ids are small.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }

    /// Everything that the daemon printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(self.home.path().join("output")).unwrap_or_default()
    }

    /// What stands in its log file so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log/couic.log")).unwrap_or_default()
    }

    /// The working directory.
    #[must_use]
    pub fn working_dir(&self) -> PathBuf {
        self.home.path().join("work")
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.path().join("couic.sock")
    }

    /// The admin's token.
    ///
    /// # Panics
    /// Where its file is not as the daemon writes it.
    #[must_use]
    pub fn token(&self) -> String {
        let path = self.home.path().join("work/rbac/clients/couicctl.toml");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        text.lines()
            .find_map(|line| {
                line.strip_prefix("token = \"")?
                    .strip_suffix('"')
                    .map(str::to_owned)
            })
            .unwrap_or_else(|| panic!("{}: no token", path.display()))
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            println!("--- what couic printed ---\n{}", self.output());
        }
    }
}
