//! fail2ban and fail2ban-rs on the same logs.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::child::cpu_seconds;

/// fail2ban is slow: it gets the first lines of a log, and its start is not counted.
const FEW: usize = 20_000;
const FEWEST: usize = 200;
/// Its filters, where `scripts/setup bench` put them.
const CONFIG: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../.tools/debian/fail2ban/etc/fail2ban"
);

/// Whether a program is there.
pub(crate) fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    let command = command.arg("--version").stdout(Stdio::null());
    let status = command.stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The jail of fail2ban-rs for refused requests, or its own for sshd.
pub(crate) fn fail2ban_rs(dir: &Path, log: &Path, ssh: bool) -> Command {
    let filter = if ssh {
        r"'sshd\[\d+\]: Failed password for .* from <HOST> port \d+',
          'sshd\[\d+\]: Invalid user .* from <HOST> port \d+',
          'sshd\[\d+\]: Connection closed by authenticating user .* <HOST> port \d+',
          'sshd\[\d+\]: Disconnected from authenticating user .* <HOST> port \d+',"
    } else {
        r#"'^<HOST> \S+ \S+ \[[^\]]+\] "[^"]*" (401|403|404) ',"#
    };
    let (date, limit) = if ssh {
        ("syslog", "max_retry = 5\nfind_time = \"10m\"")
    } else {
        ("common", "max_retry = 10\nfind_time = \"100s\"")
    };
    let config = dir.join(format!("fail2ban-rs-{date}.toml"));
    let text = format!(
        "[global]\nstate_file = \"{home}/f2b-state\"\nsocket_path = \"{home}/f2b-socket\"\n[jail.bench]\nenabled = true\n\
         log_path = \"{log}\"\ndate_format = \"{date}\"\nfilter = [{filter}]\n{limit}\nban_time = \"10m\"\nport = [\"80\"]\n\
         protocol = \"tcp\"\nbackend = \"nftables\"\n",
        home = dir.display(),
        log = log.display()
    );
    fs::write(&config, text).expect("write a configuration");
    let mut command = Command::new("fail2ban-rs");
    command.arg("-c").arg(config).arg("dry-run").arg(log);
    command
}

fn head(log: &Path, lines: usize) -> PathBuf {
    let path = log.with_extension(format!("head{lines}"));
    let file = BufReader::new(fs::File::open(log).expect("a log"));
    let mut text = Vec::new();
    for line in file.split(b'\n').take(lines) {
        text.extend(line.expect("a line"));
        text.push(b'\n');
    }
    fs::write(&path, text).expect("write a log");
    path
}

/// Lines a CPU second of fail2ban with one filter, and how many of [`FEW`] matched.
pub(crate) fn fail2ban(log: &Path, filter: &str) -> (f64, String) {
    let run = |lines| {
        let head = head(log, lines);
        let mut command = Command::new("fail2ban-regex");
        if Path::new(CONFIG).is_dir() {
            command.args(["-c", CONFIG]);
        }
        command.arg("--print-no-missed").arg(head).arg(filter);
        let (seconds, said) = cpu_seconds(&mut command, &[0]);
        let matched = said
            .split(", ")
            .find_map(|part| part.strip_suffix(" matched"));
        let matched = matched.unwrap_or_else(|| panic!("{filter}: {said}"));
        (seconds, matched.to_owned())
    };
    let ((fewest, _), (few, matched)) = (run(FEWEST), run(FEW));
    let lines = (FEW - FEWEST) as f64;
    (lines / (few - fewest), matched)
}
