//! The daemon as a process of its own, in the host's namespace, with everything it writes in a temporary directory.

use std::{
    fs::{self, File},
    os::unix::{fs::chown, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use couic_common::Policy;
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};
use tempfile::TempDir;

use crate::{Api, HOST_IFACE, Lab, until};

/// Verifying the program and mapping its tables takes a debug build seconds on a busy machine.
const START: Duration = Duration::from_secs(60);
/// Longer than the daemon's own deadline for draining.
const STOP: Duration = Duration::from_secs(60);

/// How a daemon is to be started.
#[derive(Debug)]
pub struct DaemonBuilder<'lab> {
    lab: &'lab Lab,
    home: TempDir,
    ifaces: Vec<String>,
    mode: Option<String>,
    more: String,
    capabilities: Option<String>,
}

/// A daemon that did not start.
#[derive(Debug)]
pub struct Refusal {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub output: String,
}

/// A running daemon; killed on drop, with its log printed where the test failed.
#[derive(Debug)]
pub struct Daemon<'lab> {
    lab: &'lab Lab,
    home: TempDir,
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

impl<'lab> DaemonBuilder<'lab> {
    pub(crate) fn new(lab: &'lab Lab) -> Self {
        let home = tempfile::Builder::new()
            .prefix("couic-e2e-")
            .tempdir()
            .expect("a temporary directory");
        for dir in ["work/sets/drop", "work/sets/ignore", "log"] {
            fs::create_dir_all(home.path().join(dir)).expect("make a directory");
        }
        Self {
            lab,
            home,
            ifaces: vec![HOST_IFACE.to_owned()],
            mode: None,
            more: String::new(),
            capabilities: None,
        }
    }

    /// `ifaces` of the configuration.
    #[must_use]
    pub fn ifaces(mut self, ifaces: &[&str]) -> Self {
        self.ifaces = ifaces.iter().map(|i| (*i).to_owned()).collect();
        self
    }

    /// `operation_mode` of the configuration.
    #[must_use]
    pub fn mode(mut self, mode: &str) -> Self {
        self.mode = Some(mode.to_owned());
        self
    }

    /// More tables for the configuration, as TOML.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.more.push_str(toml);
        self
    }

    /// Runs as nobody, with these capabilities alone, in the form of `setpriv(1)`: `+bpf,+net_admin`.
    #[must_use]
    pub fn unprivileged(mut self, capabilities: &str) -> Self {
        self.capabilities = Some(format!("-all,{capabilities}"));
        self
    }

    /// Writes a set file before the start.
    #[must_use]
    pub fn set_file(self, policy: Policy, name: &str, text: &str) -> Self {
        write_set_file(self.home.path(), policy, name, text);
        self
    }

    /// The working directory, for those that want to spoil it.
    #[must_use]
    pub fn working_dir(&self) -> PathBuf {
        self.home.path().join("work")
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Panics
    /// Where it does not start: the message has what it printed.
    #[must_use]
    pub fn start(self) -> Daemon<'lab> {
        self.try_start()
            .unwrap_or_else(|refusal| panic!("{}\n{}", refusal.status, refusal.output))
    }

    /// Starts the daemon and waits until it answers, or has given up.
    ///
    /// # Errors
    /// How it gave up.
    pub fn try_start(self) -> Result<Daemon<'lab>, Refusal> {
        self.write_config();
        if self.capabilities.is_some() {
            give_to_nobody(self.home.path());
        }
        Daemon::launch(self.lab, self.home, self.capabilities.as_deref())
    }

    fn write_config(&self) {
        let home = self.home.path().display();
        let mode = self
            .mode
            .as_ref()
            .map_or(String::new(), |m| format!("operation_mode = \"{m}\"\n"));
        let (user, group) = match self.capabilities {
            Some(_) => ("nobody", "nogroup"),
            None => ("root", "root"),
        };
        let config = format!(
            "ifaces = {:?}\n{mode}working_dir = \"{home}/work\"\nuser = \"{user}\"\ngroup = \"{group}\"\n\
             [logging]\ndir = \"{home}/log\"\nrotation = \"never\"\nmax_log_files = 1\nformat = \"text\"\n\
             [server]\nsocket = \"{home}/couic.sock\"\n{}",
            self.ifaces, self.more
        );
        fs::write(self.home.path().join("couic.toml"), config).expect("write couic.toml");
        let ctl = format!(
            "mode = \"local\"\nsocket = \"{home}/couic.sock\"\nclient_file = \"{home}/work/rbac/clients/couicctl.toml\"\n"
        );
        fs::write(self.home.path().join("couicctl.toml"), ctl).expect("write couicctl.toml");
    }
}

/// Everything that the daemon writes to, and the way to it.
fn give_to_nobody(home: &Path) {
    let nobody = User::from_name("nobody")
        .ok()
        .flatten()
        .expect("a user nobody");
    for dir in [
        "",
        "log",
        "work",
        "work/sets",
        "work/sets/drop",
        "work/sets/ignore",
    ] {
        chown(
            home.join(dir),
            Some(nobody.uid.as_raw()),
            Some(nobody.gid.as_raw()),
        )
        .expect("chown");
    }
}

fn write_set_file(home: &Path, policy: Policy, name: &str, text: &str) {
    let path = home.join(format!("work/sets/{policy}/{name}.couic"));
    fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

impl<'lab> Daemon<'lab> {
    fn launch(lab: &'lab Lab, home: TempDir, capabilities: Option<&str>) -> Result<Self, Refusal> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(home.path().join("output"))
            .expect("a file for the output");
        let mut command = match capabilities {
            None => lab.host.command(lab.binary("couic")),
            Some(capabilities) => {
                let mut setpriv = lab.host.command("setpriv");
                setpriv.args([
                    "--reuid=nobody",
                    "--regid=nogroup",
                    "--clear-groups",
                    "--no-new-privs",
                ]);
                for kind in ["inh-caps", "ambient-caps", "bounding-set"] {
                    setpriv.arg(format!("--{kind}={capabilities}"));
                }
                setpriv.arg(lab.binary("couic"));
                setpriv
            }
        };
        let child = command
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
            child,
            api,
        };
        daemon.await_ready()?;
        Ok(daemon)
    }

    fn await_ready(&mut self) -> Result<(), Refusal> {
        let ended = until("couic answers or gives up", START, || {
            if let Some(status) = self.child.try_wait().expect("wait for couic") {
                return Some(Some(status));
            }
            let up = self.api.try_request("GET", "/v1/health", None).is_ok();
            up.then_some(None)
        });
        if let Some(status) = ended.0 {
            let output = self.output();
            return Err(Refusal { status, output });
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
        let empty = TempDir::new().expect("a temporary directory");
        let home = std::mem::replace(&mut self.home, empty);
        Self::launch(self.lab, home, None).unwrap_or_else(|r| panic!("{}\n{}", r.status, r.output))
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
