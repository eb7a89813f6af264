//! couic-bouncer as a process in the host's namespace, as the user nobody, with its files in a directory of the test.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use couic_e2e::{Daemon, Lab};
use couic_testkit::{Api, At, LONG, Program, until};
use nix::{sys::signal::Signal, unistd::User};

/// In the lab's own namespace, where it is free.
const METRICS: &str = "127.0.0.1:2922";

const USER: &str = "nobody";

pub(super) struct Bouncer {
    program: Program,
    metrics: Api,
}

impl Bouncer {
    /// Starts it with these keys of `[crowdsec]`. A later start has the same client and files.
    pub(super) fn start(lab: &Lab, daemon: &Daemon<'_>, dir: &Path, crowdsec: &str) -> Self {
        let token = dir.join("token");
        if !token.exists() {
            let file = token.to_string_lossy();
            daemon.ctl_ok(&[
                "clients",
                "add",
                "-n",
                "bouncer",
                "-g",
                "clientrw",
                "--policy",
                "drop",
                "--tag",
                "cs-*",
                "--token-file",
                &file,
                "--owner",
                USER,
            ]);
            fs::create_dir(dir.join("state")).expect("make a directory");
        }
        for entry in fs::read_dir(dir).expect("read a directory") {
            give(&entry.expect("an entry").path());
        }
        give(dir);
        let socket = daemon.socket();
        let home = socket.parent().expect("a directory");
        fs::set_permissions(home, fs::Permissions::from_mode(0o711)).expect("chmod");
        let shown = dir.display();
        let config = format!(
            "user = \"{USER}\"\nstate_dir = \"{shown}/state\"\ncontrol = \"{shown}/control.sock\"\n\
             [crowdsec]\n{crowdsec}\n[daemon]\nsocket = \"{}\"\ntoken_file = \"{}\"\n[metrics]\nlisten = \"{METRICS}\"\n",
            socket.display(),
            token.display()
        );
        let file = dir.join("couic-bouncer.toml");
        fs::write(&file, config).expect("write the configuration");
        let mut command = lab.host.command(lab.binary("couic-bouncer"));
        command.arg("-c").arg(file);
        let address: SocketAddr = METRICS.parse().expect("an address");
        let bouncer = Self {
            program: Program::start(command, &dir.join("bouncer.output")),
            metrics: Api::new(At::Inside(lab.host.clone(), address), None),
        };
        bouncer.until("it answers", || true);
        bouncer
    }

    /// Waits for a condition, while it answers.
    pub(super) fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let up = || self.metrics.try_request("GET", "/metrics", None).ok();
        until(what, LONG, || up().filter(|_| condition()).map(drop));
    }

    /// A metric without labels.
    pub(super) fn figure(&self, name: &str) -> f64 {
        let page = self.metrics.request("GET", "/metrics", None).expect(200);
        let line = page
            .body
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no {name}:\n{}", page.body))
    }

    pub(super) fn output(&self) -> String {
        self.program.output()
    }

    pub(super) fn kill(mut self) {
        assert_eq!(self.program.end(Signal::SIGKILL), -9, "{}", self.output());
    }

    pub(super) fn stop(mut self) {
        assert_eq!(self.program.end(Signal::SIGTERM), 0, "{}", self.output());
    }
}

/// Everything that it reads, for it alone.
fn give(path: &Path) {
    let user = User::from_name(USER).ok().flatten().expect("a user");
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
    let mode = if path.is_dir() { 0o755 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}
