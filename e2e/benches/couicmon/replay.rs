//! Lines a CPU second, whole processes, user and system time.

use std::{path::Path, process::Command};

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
    fn couicmon(lab: &Lab, name: &'static str, config: &Path, log: &Path, lines: u32) -> Self {
        let mut command = Command::new(lab.binary("couicmon"));
        command.arg("-c").arg(config).arg("replay").arg(log);
        Self::new(name, command, lines)
    }

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

pub(crate) fn rows(lab: &Lab) -> Vec<Row> {
    let dir = TempDir::new().expect("a directory");
    let dir = dir.path();
    let (many, some, few) = (sized(1_000_000), sized(500_000), sized(300_000));
    let access = logs::combined(lab, dir, many);
    let auth = logs::sshd(lab, dir, some);
    let caddy = logs::caddy(lab, dir, few);
    let config = |name: &str, format, jails: &str| jails::write_config(dir, name, format, jails);
    let mut runs = vec![
        Run::couicmon(
            lab,
            "combined, 3 jails",
            &config("3", "combined", jails::THREE),
            &access,
            many,
        ),
        Run::couicmon(
            lab,
            "combined, 1 jail",
            &config("1", "combined", jails::ONE),
            &access,
            many,
        ),
        Run::couicmon(
            lab,
            "combined, 20 jails, 200 literals",
            &config("20", "combined", &jails::twenty()),
            &access,
            many,
        ),
        Run::couicmon(
            lab,
            "sshd",
            &config("sshd", "sshd", jails::SSHD),
            &auth,
            some,
        ),
        Run::couicmon(
            lab,
            "Caddy's JSON, 3 jails",
            &config("json", "caddy-json", jails::THREE),
            &caddy,
            few,
        ),
    ];
    let has_rival = rivals::is_there("fail2ban-rs");
    if has_rival {
        let rival =
            |name, log, ssh, lines| Run::new(name, rivals::fail2ban_rs(dir, log, ssh), lines);
        runs.push(rival("fail2ban-rs, combined, 1 jail", &access, false, many));
        runs.push(rival("fail2ban-rs, sshd", &auth, true, some));
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
        rows.extend(beside(
            "fail2ban-rs (1 jail)",
            rates[5],
            [rates[0], rates[1]],
            "≥ 1.4 (3 jails)",
            1.4,
        ));
        rows.push(row(
            "sshd, times fail2ban-rs".into(),
            "",
            rates[3] / rates[6],
            None,
        ));
    } else {
        println!("skipped: no fail2ban-rs; scripts/setup bench builds it");
    }
    if rivals::is_there("fail2ban-regex") {
        rows.extend(fail2ban(&access, &auth, &rates));
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
