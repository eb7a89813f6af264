//! Lines a CPU second, whole processes, user and system time.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use couic_e2e::Lab;
use tempfile::TempDir;

use crate::{Row, child::cpu_seconds, jails, logs, rivals, sized};

const ROUNDS: usize = 5;
/// The filter that people write, whose dates are guessed.
const REFUSED: &str = "^<HOST> \\S+ \\S+ \\[\\] \"[^\"]*\" (?:401|403|404) ";

/// A program on a log.
struct Run {
    name: &'static str,
    command: Command,
    lines: u32,
    seconds: Vec<f64>,
}

impl Run {
    const fn new(name: &'static str, command: Command, lines: u32) -> Self {
        Self {
            name,
            command,
            lines,
            seconds: Vec::new(),
        }
    }

    /// Lines a CPU second, the median of all rounds.
    fn rate(&mut self) -> f64 {
        self.seconds.sort_by(f64::total_cmp);
        f64::from(self.lines) / self.seconds[self.seconds.len() / 2]
    }
}

/// The logs, and how many lines they have.
struct Logs {
    access: (PathBuf, u32),
    auth: (PathBuf, u32),
    caddy: (PathBuf, u32),
}

impl Logs {
    fn write(lab: &Lab, dir: &Path) -> Self {
        let (many, some, few) = (sized(1_000_000), sized(500_000), sized(300_000));
        Self {
            access: (logs::combined(lab, dir, many), many),
            auth: (logs::sshd(lab, dir, some), some),
            caddy: (logs::caddy(lab, dir, few), few),
        }
    }

    fn couicmon(&self, lab: &Lab, dir: &Path) -> Vec<Run> {
        let (access, auth, caddy) = (&self.access, &self.auth, &self.caddy);
        let twenty = jails::twenty();
        let runs = [
            ("combined, 3 jails", "combined", jails::THREE, access),
            ("combined, 1 jail", "combined", jails::ONE, access),
            (
                "combined, 20 jails, 200 literals",
                "combined",
                &*twenty,
                access,
            ),
            ("sshd", "sshd", jails::SSHD, auth),
            ("Caddy's JSON, 3 jails", "caddy-json", jails::THREE, caddy),
        ];
        let runs = runs.iter().zip(0..);
        runs.map(|((name, format, jails, (log, lines)), nth)| {
            let config = jails::write_config(dir, &format!("{nth}.toml"), format, jails);
            let mut command = Command::new(lab.binary("couicmon"));
            command.arg("-c").arg(config).arg("replay").arg(log);
            Run::new(name, command, *lines)
        })
        .collect()
    }

    fn fail2ban_rs(&self, dir: &Path) -> [Run; 2] {
        let run = |name, (log, lines): &(PathBuf, u32), ssh| {
            Run::new(name, rivals::fail2ban_rs(dir, log, ssh), *lines)
        };
        [
            run("fail2ban-rs, combined, 1 jail", &self.access, false),
            run("fail2ban-rs, sshd", &self.auth, true),
        ]
    }
}

pub(crate) fn rows(lab: &Lab) -> Vec<Row> {
    let dir = TempDir::new().expect("a directory");
    let logs = Logs::write(lab, dir.path());
    let mut runs = logs.couicmon(lab, dir.path());
    let has_rival = rivals::is_there("fail2ban-rs");
    if has_rival {
        runs.extend(logs.fail2ban_rs(dir.path()));
    }
    // By turns, so that a busy machine treats all alike.
    for _ in 0..ROUNDS {
        for run in &mut runs {
            // 3: replay found collateral.
            run.seconds.push(cpu_seconds(&mut run.command, &[0, 3]).0);
        }
    }
    let rates: Vec<f64> = runs.iter_mut().map(Run::rate).collect();
    let mut rows = own(&runs, &rates);
    if has_rival {
        let (rival, ours) = ("fail2ban-rs (1 jail)", [rates[0], rates[1]]);
        rows.extend(beside(rival, rates[5], ours, "≥ 1.4 (3 jails)", 1.4));
        let ratio = rates[3] / rates[6];
        rows.push(row("sshd, times fail2ban-rs".into(), "", ratio, None));
    } else {
        println!("skipped: no fail2ban-rs; scripts/setup bench builds it");
    }
    if rivals::is_there("fail2ban-regex") {
        rows.extend(fail2ban(&logs.access.0, &logs.auth.0, &rates));
    } else {
        println!("skipped: no fail2ban-regex; scripts/setup bench fetches it");
    }
    rows
}

fn row(what: String, wanted: &'static str, ratio: f64, reached: Option<bool>) -> Row {
    Row {
        what,
        wanted,
        measured: format!("{ratio:.2}"),
        reached,
        method: "ratio of the rates in this table".into(),
    }
}

/// The rates of every run, and of many jails to few.
fn own(runs: &[Run], rates: &[f64]) -> Vec<Row> {
    let targets = [
        ("≥ 1,500,000", 1.5e6),
        ("", 0.0),
        ("", 0.0),
        ("≥ 2,500,000", 2.5e6),
        ("≥ 350,000", 3.5e5),
    ];
    let none = ("", 0.0);
    let targets = targets.into_iter().chain(std::iter::repeat(none));
    let mut rows: Vec<Row> = (runs.iter().zip(rates).zip(targets))
        .map(|((run, rate), (wanted, least))| Row {
            what: format!("{}, lines a CPU second", run.name),
            wanted,
            measured: format!("{rate:.0}"),
            reached: (least > 0.0).then_some(*rate >= least),
            method: format!(
                "{} lines, whole process, median of {ROUNDS} by turns",
                run.lines
            ),
        })
        .collect();
    let ratio = rates[0] / rates[2];
    rows.push(row(
        "20 jails with 200 literals, times the cost of 3".into(),
        "≤ 2",
        ratio,
        Some(ratio <= 2.0),
    ));
    rows
}

/// Three jails and one jail beside a program that has one.
fn beside(rival: &str, rate: f64, ours: [f64; 2], wanted: &'static str, least: f64) -> [Row; 2] {
    let [three, one] = ours.map(|ours| ours / rate);
    [
        row(
            format!("3 jails, times {rival}"),
            wanted,
            three,
            Some(three >= least),
        ),
        row(format!("1 jail, times {rival}"), "", one, None),
    ]
}

fn fail2ban(access: &Path, auth: &Path, rates: &[f64]) -> Vec<Row> {
    let filters = [
        ("own filter, dates guessed", access, REFUSED),
        ("its nginx-botsearch", access, "nginx-botsearch"),
        ("its sshd", auth, "sshd"),
    ];
    let theirs = filters.map(|(_, log, filter)| rivals::fail2ban(log, filter));
    let mut rows: Vec<Row> = (filters.iter().zip(&theirs))
        .map(|((name, ..), (rate, matched))| Row {
            what: format!("fail2ban, {name}, lines a CPU second"),
            wanted: "",
            measured: format!("{rate:.0}"),
            reached: None,
            method: format!(
                "fail2ban-regex, 20,000 lines, {matched} of which match, less the time for 200"
            ),
        })
        .collect();
    // The faster filter is the harder one to beat.
    let best = theirs[0].0.max(theirs[1].0);
    rows.extend(beside(
        "fail2ban (the faster filter)",
        best,
        [rates[0], rates[1]],
        "≥ 60 (3 jails)",
        60.0,
    ));
    rows.push(row(
        "sshd, times fail2ban".into(),
        "",
        rates[3] / theirs[2].0,
        None,
    ));
    rows
}
