//! fail2ban as a process in the host's namespace, with the actions of `config/fail2ban` and all its files in a directory of the
//! test.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use couic_e2e::{Daemon, Lab};
use couic_testkit::Program;
use nix::{sys::signal::Signal, unistd::Pid};

use crate::couicmon::servers::is_there;

/// A failed login as OpenSSH logs it, behind the time in Unix seconds.
const FILTER: &str = "[Definition]\nfailregex = ^ \\S+ sshd\\[\\d+\\]: Failed password for (?:invalid user )?\\S+ from <HOST> port \\d+ ssh2$\n\
    datepattern = ^EPOCH\n";

/// A running fail2ban; killed on drop, with its log printed if the test fails.
pub(super) struct Server<'lab> {
    lab: &'lab Lab,
    dir: PathBuf,
    program: Program,
}

/// Which action the jails have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// In fail2ban's process.
    Python,
    /// With a couicctl for each ban.
    Ini,
}

/// Whether fail2ban is there; says `skipped` otherwise.
pub(super) fn is_installed() -> bool {
    is_there("fail2ban-server", "--version") && is_there("fail2ban-client", "--version")
}

/// The configuration of jails, by name and settings, in a directory where a server can then be started; and a token.
pub(super) fn configure(
    lab: &Lab,
    daemon: &Daemon<'_>,
    dir: &Path,
    form: Form,
    jails: &[(&str, &str)],
) {
    for sub in ["f2b/action.d", "f2b/filter.d", "bin"] {
        fs::create_dir_all(dir.join(sub)).expect("make a directory");
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/fail2ban");
    for action in ["couic.py", "couic.conf"] {
        fs::copy(source.join(action), dir.join("f2b/action.d").join(action)).expect("copy");
    }
    let home = dir.display();
    let general = format!(
        "[Definition]\nloglevel = INFO\nlogtarget = {home}/fail2ban.log\nsyslogsocket = auto\nsocket = {home}/f2b.sock\n\
         pidfile = {home}/f2b.pid\ndbfile = {home}/f2b.sqlite\ndbpurgeage = 1d\nallowipv6 = yes\n"
    );
    fs::write(dir.join("f2b/fail2ban.conf"), general).expect("write");
    fs::write(dir.join("f2b/filter.d/sshd.conf"), FILTER).expect("write");
    let action = match form {
        Form::Ini => {
            provide_couicctl(lab, daemon, dir);
            "couic".to_owned()
        }
        Form::Python => {
            let token = make_token(daemon, dir);
            let socket = daemon.socket();
            let socket = socket.display();
            format!("couic.py[socket=\"{socket}\", token_file=\"{token}\"]")
        }
    };
    // As the jail.conf of fail2ban has it.
    let mut text = format!(
        "[DEFAULT]\nenabled = true\nbackend = polling\nusedns = no\nfilter = sshd\nmaxretry = 2\nfindtime = 1h\n\
         protocol = tcp\nchain = INPUT\nport = 0:65535\nbanaction = {action}\n\
         action_ = %(banaction)s[port=\"%(port)s\", protocol=\"%(protocol)s\", chain=\"%(chain)s\"]\naction = %(action_)s\n"
    );
    for (name, settings) in jails {
        text += &format!("[{name}]\nlogpath = {home}/{name}.log\n{settings}\n");
        File::create(dir.join(format!("{name}.log"))).expect("a log");
    }
    fs::write(dir.join("f2b/jail.conf"), text).expect("write");
}

/// A client as setup makes it. Returns the file of its token.
fn make_token(daemon: &Daemon<'_>, dir: &Path) -> String {
    let token = dir.join("token");
    let token = token.to_str().expect("UTF-8");
    let client = "clients add -n fail2ban -g clientrw --policy drop --token-file";
    let words: Vec<&str> = client.split(' ').chain([token]).collect();
    daemon.ctl_ok(&words);
    token.to_owned()
}

/// A `couicctl` of this daemon, for the search path.
fn provide_couicctl(lab: &Lab, daemon: &Daemon<'_>, dir: &Path) {
    let program = dir.join("bin/couicctl");
    let config = daemon.working_dir().with_file_name("couicctl.toml");
    let (ctl, config) = (lab.binary("couicctl"), config.display());
    let text = format!("#!/bin/sh\nexec {} -c {config} \"$@\"\n", ctl.display());
    fs::write(&program, text).expect("write");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
}

impl<'lab> Server<'lab> {
    /// Starts it as [`configure`] left the directory, and waits until its jails run.
    pub(super) fn start(lab: &'lab Lab, dir: &Path) -> Self {
        let mut command = command(lab, dir, "fail2ban-server");
        // As the unit does. -x: also where a server that was killed has left its socket.
        command.args(["-xf", "start"]);
        let mut program = Program::start(command, &dir.join("fail2ban.output"));
        let ready = program.until_printed("Server ready");
        assert!(ready.is_ok(), "{ready:?}");
        Self {
            lab,
            dir: dir.to_owned(),
            program,
        }
    }

    /// Runs fail2ban-client, which must succeed.
    pub(super) fn client(&self, words: &str) -> String {
        let mut command = command(self.lab, &self.dir, "fail2ban-client");
        let output = command.args(words.split(' ')).output().expect("a client");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{words}: {output:?}");
        text
    }

    /// As systemd stops it.
    pub(super) fn stop(mut self) {
        self.program.signal(Signal::SIGTERM);
        assert_eq!(self.program.exit_code(), 0, "{}", self.log());
    }

    pub(super) fn kill(mut self) {
        self.program.signal(Signal::SIGKILL);
        let _ = self.program.exit_code();
    }

    pub(super) fn pid(&self) -> Pid {
        self.program.pid()
    }

    /// Failed logins of these sources, each often enough for a ban.
    pub(super) fn fail<'a>(&self, jail: &str, sources: impl IntoIterator<Item = &'a str>) {
        let now = couic_common::unix_seconds();
        let line = |source| {
            format!(
                "{now} host sshd[4711]: Failed password for root from {source} port 50022 ssh2\n"
            )
        };
        let lines: String = sources.into_iter().map(|s| line(s).repeat(2)).collect();
        let log = self.dir.join(format!("{jail}.log"));
        let mut log = File::options().append(true).open(log).expect("its log");
        log.write_all(lines.as_bytes()).expect("write");
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("fail2ban.log")).unwrap_or_default()
    }

    /// How many bans are in its database, into which a thread of their own writes them.
    pub(super) fn stored(&self) -> usize {
        const COUNT: &str = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('select count(*) from bans').fetchone()[0])";
        let mut command = Command::new("python3");
        let database = self.dir.join("f2b.sqlite");
        let output = command.args(["-c", COUNT]).arg(database).output();
        let count = output.expect("python3").stdout;
        String::from_utf8_lossy(&count)
            .trim()
            .parse()
            .unwrap_or_default()
    }

    /// Lines of the log that have all of these words.
    pub(super) fn said(&self, words: &[&str]) -> usize {
        let log = self.log();
        let lines = log.lines();
        lines
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count()
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- fail2ban.log ---\n{}", self.log());
        }
    }
}

fn command(lab: &Lab, dir: &Path, program: &str) -> Command {
    let mut command = lab.host.command(program);
    command.arg("-c").arg(dir.join("f2b"));
    command.arg("-s").arg(dir.join("f2b.sock"));
    command.arg("-p").arg(dir.join("f2b.pid"));
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", dir.join("bin").display()));
    // The developer's own SSH session is not part of the test.
    command
        .env_remove("SSH_CONNECTION")
        .env_remove("SSH_CLIENT");
    command
}
