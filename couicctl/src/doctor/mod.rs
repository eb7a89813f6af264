//! `couicctl doctor`: checks everything that filtering depends on, and changes nothing.
//!
//! Each check is one line with its result and advice. DaemonFacts about the host are read locally ([`machine`],
//! [`interface`], [`files`]), facts about the daemon come from its API ([`daemon`]); for a remote daemon, only the
//! latter. Checks that need more privileges are reported as skipped.

mod beside;
mod daemon;
mod files;
mod interface;
mod kernel;
mod machine;

use std::{
    io::{self, Write},
    path::Path,
};

use couic_common::counted;
use serde::Serialize;

use crate::{
    cli::DoctorArgs,
    commands::Context,
    config::{self, Settings, Target},
    failure::{Failure, HINT, no_color, printable},
    output::Output,
};

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum CheckState {
    Ok,
    Warn,
    Fail,
    Skip,
}

/// One check, a line of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    check: String,
    state: CheckState,
    /// The finding.
    found: String,
    /// Advice to the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn new(state: CheckState, check: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            state,
            found: one_line(found.into().lines()),
            advice: None,
        }
    }

    fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(CheckState::Ok, check, found)
    }

    fn warn(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(CheckState::Warn, check, found)
    }

    fn fail(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(CheckState::Fail, check, found)
    }

    fn skip(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(CheckState::Skip, check, found)
    }

    /// A failure whose text is that of an error: the finding, then lines of advice, if any.
    fn error(check: impl Into<String>, text: &str) -> Self {
        let mut lines = text.lines();
        let check = Self::fail(check, lines.next().unwrap_or_default());
        let advice = one_line(lines);
        if advice.is_empty() {
            return check;
        }
        check.advise(advice)
    }

    /// Adds advice, unless the check has some.
    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice.get_or_insert_with(|| advice.into());
        self
    }
}

/// Every check is one line.
fn one_line<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let lines = lines.map(|line| line.strip_prefix(HINT).unwrap_or(line).trim());
    lines.collect::<Vec<_>>().join("; ")
}

/// Runs all checks and prints the results.
pub(crate) async fn run(
    config: Option<&Path>,
    args: &DoctorArgs,
    mut output: Output,
) -> Result<(), Failure> {
    let mut checks = Vec::new();
    match config::load(config) {
        Ok(settings) => look(&settings, args, &mut checks).await,
        Err(failure) => checks.push(
            Check::fail("couicctl", failure.text())
                .advise("without it, neither daemon nor host can be checked"),
        ),
    }
    let colour = output.is_terminal() && !no_color();
    output.show(&checks, |out| show(&checks, colour, out))?;
    output.finish()?;
    if checks.iter().any(|check| check.state == CheckState::Fail) {
        return Err(Failure::Reported);
    }
    Ok(())
}

async fn look(settings: &Settings, args: &DoctorArgs, checks: &mut Vec<Check>) {
    let local = matches!(settings.target, Target::Local { .. });
    let mut installed = None;
    if local {
        machine::kernel(checks);
        machine::bpffs(checks);
        installed = files::daemon(&args.daemon_config, checks);
        files::client(&settings.target, checks);
    }
    let facts = match Context::new(settings, Output::stdout(false)) {
        Ok(context) => daemon::look(&context, checks).await,
        Err(failure) => {
            checks.push(Check::error("daemon", &failure.text()));
            daemon::DaemonFacts::default()
        }
    };
    if local {
        let configured = installed.as_ref().map(|i| i.ifaces.as_slice());
        interface::all(configured.unwrap_or_default(), &facts, checks);
        // The daemon's sandbox may not allow the call; this process can make it.
        checks.retain(|check| check.check != "clock" || check.state != CheckState::Skip);
        if !checks.iter().any(|check| check.check == "clock") {
            machine::clock(checks);
        }
        beside::all(checks);
        if let Some(installed) = &installed {
            checks.extend(beside::fail2ban(&args.daemon_config, installed).await);
        }
        if !facts.has_host_status
            && let Some(installed) = &installed
        {
            machine::disk("working_dir", &installed.working_dir, checks);
            machine::disk("log", &installed.log_dir, checks);
        }
    }
}

/// Prints aligned lines that begin with the state, so that grep finds failures.
fn show(checks: &[Check], colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let width = checks
        .iter()
        .map(|check| check.check.chars().count())
        .max()
        .unwrap_or(0);
    for check in checks {
        let (word, code) = match check.state {
            CheckState::Ok => ("ok  ", "32"),
            CheckState::Warn => ("warn", "33"),
            CheckState::Fail => ("fail", "31"),
            CheckState::Skip => ("skip", "2"),
        };
        if colour {
            write!(out, "\x1b[{code}m{word}\x1b[0m")?;
        } else {
            write!(out, "{word}")?;
        }
        let advice = check
            .advice
            .as_ref()
            .map_or(String::new(), |a| format!(": {a}"));
        let text = format!("{}{advice}", check.found);
        writeln!(out, "  {:width$}  {}", check.check, printable(&text))?;
    }
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (failed, warned) = (count(CheckState::Fail), count(CheckState::Warn));
    writeln!(
        out,
        "{failed} failed, {warned} with warnings, of {}.",
        counted(checks.len() as u64, "check", "checks")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_check_and_a_summary() {
        let checks = [
            Check::ok("kernel", "6.18.0"),
            Check::error("disk log", "0 MiB free\n  make \u{1b}room\n  or not")
                .advise("other advice"),
            Check::skip("clock", "unknown\n  here"),
        ];
        let drawn = |colour| {
            let mut out = Vec::new();
            show(&checks, colour, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let expected = "\
ok    kernel    6.18.0
fail  disk log  0 MiB free: make ?room; or not
skip  clock     unknown; here
1 failed, 0 with warnings, of 3 checks.
";
        assert_eq!(drawn(false), expected);
        assert!(drawn(true).starts_with("\u{1b}[32mok  \u{1b}[0m  kernel"));
    }
}
