//! couicmon as a process in the host's namespace, as the user nobody: its files in a directory of the test, a token that may only ban, its
//! metrics on a port of the namespace.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    thread,
};

use couic_testkit::{Api, At, LONG, Program, until};
use nix::{
    sys::signal::Signal,
    unistd::{Pid, User},
};

use crate::{Daemon, Lab};

/// In the lab's own namespace, where it is free.
const METRICS: &str = "127.0.0.1:9466";

/// A running couicmon; killed on drop, with its output and metrics printed if the test fails.
#[derive(Debug)]
pub struct Monitor {
    program: Program,
    metrics: Api,
}

impl Monitor {
    /// The group of the daemon's socket.
    pub const GROUP: &str = "nogroup";

    /// `couicctl` with these arguments makes a client with the rights of couicmon.
    pub const CLIENT: [&str; 14] = [
        "clients",
        "add",
        "-n",
        "couicmon",
        "-g",
        "clientrw",
        "--policy",
        "drop",
        "--tag",
        "mon-*",
        "--widest",
        "24,48",
        "--longest",
        "7d",
    ];

    /// Starts it with these sources and jails, and waits until it reads. A later start with the same directory goes on
    /// where the earlier one ended. The daemon's group must be [`Monitor::GROUP`].
    ///
    /// # Panics
    /// If it does not start: the message has its output.
    #[must_use]
    pub fn start(lab: &Lab, daemon: &Daemon<'_>, dir: &Path, config: &str) -> Self {
        let file = write_config(daemon, dir, config);
        let mut command = lab.host.command(lab.binary("couicmon"));
        command.arg("-c").arg(file);
        let mut program = Program::start(command, &dir.join("couicmon.output"));
        let address: SocketAddr = METRICS.parse().expect("an address");
        let metrics = Api::new(At::Inside(lab.host.clone(), address), None);
        let up = || metrics.try_request("GET", "/metrics", None).ok();
        if let Err(status) = program.until("couicmon answers or gives up", up) {
            panic!("{status}\n{}", program.output());
        }
        let monitor = Self { program, metrics };
        // Its first start begins at the end of each file.
        if config.contains("file = ") {
            until("couicmon has found its log", LONG, || {
                (monitor.figure("couicmon_files") >= 1.0).then_some(())
            });
        }
        monitor
    }

    /// The sum of a metric over all its labels: `couicmon_lines_total`.
    ///
    /// # Panics
    /// If it does not exist, or is no number.
    #[must_use]
    pub fn figure(&self, name: &str) -> f64 {
        let page = self.metrics.request("GET", "/metrics", None).expect(200);
        let values: Vec<f64> = page
            .body
            .lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter(|rest| rest.starts_with(['{', ' ']))
            .map(|rest| rest.rsplit(' ').next().expect("a value").parse())
            .collect::<Result<_, _>>()
            .expect("numbers");
        assert!(!values.is_empty(), "no metric {name}:\n{}", page.body);
        values.iter().sum()
    }

    /// Waits until it has read this many lines in all.
    pub fn until_read(&self, lines: u32) {
        until(&format!("{lines} lines are read"), LONG, || {
            (self.figure("couicmon_lines_total") >= f64::from(lines)).then_some(())
        });
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.program.pid()
    }

    /// Its output so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.program.output()
    }

    /// Sends a signal and waits for the end: its exit code, or minus the signal that ended it.
    #[must_use]
    pub fn ended_by(mut self, signal: Signal) -> i32 {
        self.program.end(signal)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(page) = self.metrics.try_request("GET", "/metrics", None)
        {
            println!("--- metrics of couicmon ---\n{}", page.body);
        }
    }
}

/// couicmon refuses to be root: it becomes this user, which is in the group of the daemon's socket.
const USER: &str = "nobody";

/// Gives it a file or directory.
fn give(path: &Path, mode: u32) {
    let user = User::from_name(USER).ok().flatten().expect("a user");
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

fn write_config(daemon: &Daemon<'_>, dir: &Path, config: &str) -> PathBuf {
    let (state, token) = (dir.join("state"), dir.join("couicmon.token"));
    fs::create_dir_all(&state).expect("make a directory");
    if !token.exists() {
        let file = token.to_string_lossy();
        let written = ["--token-file", &*file, "--owner", USER];
        daemon.ctl_ok(&[&Monitor::CLIENT[..], &written].concat());
    }
    // The sources' sockets are in it, too.
    give(dir, 0o755);
    give(&state, 0o700);
    let home = daemon.socket();
    let home = home.parent().expect("a directory");
    fs::set_permissions(home, fs::Permissions::from_mode(0o711)).expect("chmod");
    let (socket, shown) = (daemon.socket(), dir.display());
    let whole = format!(
        "user = \"{USER}\"\nstate_dir = \"{shown}/state\"\ncontrol = \"{shown}/control.sock\"\n{config}\n\
         [daemon]\nsocket = \"{}\"\ntoken_file = \"{}\"\n\
         [metrics]\nlisten = \"{METRICS}\"\n",
        socket.display(),
        token.display()
    );
    let file = dir.join("couicmon.toml");
    fs::write(&file, whole).expect("write couicmon.toml");
    file
}
