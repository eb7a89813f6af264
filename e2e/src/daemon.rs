//! The daemon as a process, in the host's namespace, with all its files in a temporary directory.

mod builder;
mod command;

use std::{fs, path::PathBuf, process::ExitStatus};

use couic_common::Policy;
use couic_testkit::{Api, At, Program, admin_token};
use nix::{sys::signal::Signal, unistd::Pid};
use tempfile::TempDir;

pub use builder::DaemonBuilder;
use builder::write_set_file;
use command::{Way, command, detach};

use crate::Lab;

/// A daemon that did not start.
#[derive(Debug)]
pub struct Refusal {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its output.
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

/// A running daemon; killed on drop, with its log printed if the test fails.
#[derive(Debug)]
pub struct Daemon<'lab> {
    lab: &'lab Lab,
    // Ends before its files do.
    program: Program,
    home: TempDir,
    way: Way,
    api: Api,
}

/// The result of `couicctl`.
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
        let mut command = command(lab, &way);
        command.arg("-c").arg(home.path().join("couic.toml"));
        let mut program = Program::start(command, &home.path().join("output"));
        let at = At::Unix(home.path().join("couic.sock"));
        let anonymous = Api::new(at.clone(), None);
        let up = || anonymous.try_request("GET", "/v1/health", None).ok();
        match program.until("couic answers or gives up", up) {
            Ok(_) => Ok(Self {
                api: Api::new(at, Some(&admin_token(&home.path().join("work")))),
                lab,
                home,
                way,
                program,
            }),
            Err(status) => Err(Refusal {
                status,
                output: program.output(),
                home,
                way: Box::new(way),
            }),
        }
    }

    /// Starts the daemon again after it ended, in the same directories.
    ///
    /// # Panics
    /// If it still runs, or does not start.
    #[must_use]
    pub fn restart(mut self) -> Self {
        assert!(self.program.ended().is_some(), "couic still runs");
        Self::launch(self.lab, self.home, self.way)
            .unwrap_or_else(|r| panic!("{}\n{}", r.status, r.output))
    }

    /// A daemon in the same directories, started in the same way, that keeps the filter, with another configuration.
    ///
    /// # Panics
    /// If this one still runs.
    #[must_use]
    pub fn builder(mut self) -> DaemonBuilder<'lab> {
        assert!(self.program.ended().is_some(), "couic still runs");
        DaemonBuilder::again(self.lab, self.home, self.way)
    }

    /// Its attacher process.
    #[must_use]
    pub fn attacher(&self) -> Option<Pid> {
        couic_testkit::attacher(self.pid())
    }

    /// Ends it with a signal and waits.
    ///
    /// # Panics
    /// If its exit status is not the expected one for the signal.
    #[must_use]
    pub fn ended_by(mut self, signal: Signal) -> Self {
        self.signal(signal);
        let expected = if signal == Signal::SIGKILL { -9 } else { 0 };
        assert_eq!(self.exit_code(), expected, "{}", self.output());
        self
    }

    /// Runs `couic detach` and returns its exit code and output.
    #[must_use]
    pub fn detach(&self) -> (i32, String) {
        detach(self.lab, self.home.path(), &self.way)
    }

    /// The API, with the admin's token.
    #[must_use]
    pub const fn api(&self) -> &Api {
        &self.api
    }

    /// The API with another token.
    #[must_use]
    pub fn api_as(&self, token: &str) -> Api {
        Api::new(At::Unix(self.socket()), Some(token))
    }

    /// Runs `couicctl` in the host's namespace.
    #[must_use]
    pub fn ctl(&self, args: &[&str]) -> CtlOutput {
        self.ctl_with_env(args, &[])
    }

    /// The same, with further environment variables.
    ///
    /// # Panics
    /// If it cannot be started.
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

    /// Runs `couicctl`, which must succeed, and returns its output.
    ///
    /// # Panics
    /// If it fails.
    pub fn ctl_ok(&self, args: &[&str]) -> String {
        let output = self.ctl(args);
        assert_eq!(output.code, 0, "couicctl {args:?}: {output:?}");
        output.stdout
    }

    /// Writes a set file directly, without the API.
    pub fn set_file(&self, policy: Policy, name: &str, text: &str) {
        write_set_file(self.home.path(), policy, name, text);
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the daemon is gone.
    pub fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Waits for the end of the process and returns its exit code, or minus the signal that ended it.
    pub fn exit_code(&mut self) -> i32 {
        self.program.exit_code()
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.program.pid()
    }

    /// The output of the daemon so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.program.output()
    }

    /// Its log file so far.
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
    /// If its file does not have the daemon's format.
    #[must_use]
    pub fn token(&self) -> String {
        admin_token(&self.working_dir())
    }
}
