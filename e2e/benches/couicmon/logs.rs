//! Logs of a site under attack, by couicmon's example `gen_log`: the same in every run.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use couic_e2e::Lab;

/// Most lines of sshd's log are of attackers.
const GUESSED: [&str; 3] = ["flood=10", "scan=10", "login=60"];

fn generate(lab: &Lab, dir: &Path, format: &str, lines: u32, options: &[&str]) -> PathBuf {
    let path = dir.join(format!("{format}.log"));
    let mut command = Command::new(lab.binary("examples/gen_log"));
    command.arg(format).arg(lines.to_string()).args(options);
    let file = File::create(&path).expect("create a log");
    let status = command.stdout(file).status();
    let status = status.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(status.success(), "{command:?}: {status}");
    path
}

/// nginx: 15 % flood, 2.5 % scan, 2.5 % guess passwords, the others are 62,000 visitors.
pub(crate) fn combined(lab: &Lab, dir: &Path, lines: u32) -> PathBuf {
    generate(lab, dir, "combined", lines, &[])
}

/// The same by Caddy.
pub(crate) fn caddy(lab: &Lab, dir: &Path, lines: u32) -> PathBuf {
    generate(lab, dir, "caddy-json", lines, &[])
}

pub(crate) fn sshd(lab: &Lab, dir: &Path, lines: u32) -> PathBuf {
    generate(lab, dir, "sshd", lines, &GUESSED)
}

/// Lines of nginx, to be dated when they are written: what is before the time, and what is behind it.
pub(crate) fn undated(lab: &Lab, dir: &Path, lines: u32) -> Vec<(String, String)> {
    let text = fs::read_to_string(combined(lab, dir, lines)).expect("read a log");
    let split = |line: &str| {
        let (before, rest) = line.split_once('[').expect("a time");
        let (_, behind) = rest.split_once(']').expect("a time");
        (before.to_owned(), behind.to_owned())
    };
    text.lines().map(split).collect()
}
