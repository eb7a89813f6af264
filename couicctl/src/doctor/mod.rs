//! `couicctl doctor`: looks at everything that a filter depends on, and changes nothing.
//!
//! Each check is one line: how it stands, and what to do. Facts of the machine are read here ([`machine`], [`interface`],
//! [`files`]), facts of the daemon come from its API ([`daemon`]); of a daemon elsewhere only the latter. What this user
//! may not look at is skipped, and said so.

mod daemon;
mod files;
mod interface;
mod kernel;
mod machine;

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;

use crate::{
    cli::DoctorArgs,
    commands::Context,
    config::{self, Settings, Target},
    failure::{Failure, printable},
    output::Output,
};

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warn,
    Fail,
    Skip,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    check: String,
    state: State,
    /// What was found.
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn new(state: State, check: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            state,
            found: found.into(),
            advice: None,
        }
    }

    fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(State::Ok, check, found)
    }

    fn warn(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(State::Warn, check, found)
    }

    fn fail(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(State::Fail, check, found)
    }

    fn skip(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(State::Skip, check, found)
    }

    /// With what to do.
    fn so(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// Looks at everything, and shows it.
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
                .so("without it, neither daemon nor machine is looked at"),
        ),
    }
    let colour = output.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    output.show(&checks, |out| show(&checks, colour, out))?;
    output.finish()?;
    if checks.iter().any(|check| check.state == State::Fail) {
        return Err(Failure::Said);
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
            checks.push(Check::fail("daemon", failure.text()));
            daemon::Facts::default()
        }
    };
    if local {
        let configured = installed.as_ref().map(|i| i.ifaces.as_slice());
        interface::all(configured.unwrap_or_default(), &facts, checks);
        // The daemon's confinement keeps it from asking; this process may.
        checks.retain(|check| check.check != "clock" || check.state != State::Skip);
        if !checks.iter().any(|check| check.check == "clock") {
            machine::clock(checks);
        }
        if !facts.told_of_host
            && let Some(installed) = &installed
        {
            machine::disk("working_dir", &installed.working_dir, checks);
            machine::disk("log", &installed.log_dir, checks);
        }
    }
}

/// Aligned, the state first, so that failures can be found with grep.
fn show(checks: &[Check], colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let width = checks
        .iter()
        .map(|check| check.check.chars().count())
        .max()
        .unwrap_or(0);
    for check in checks {
        let (word, code) = match check.state {
            State::Ok => ("ok  ", "32"),
            State::Warn => ("warn", "33"),
            State::Fail => ("fail", "31"),
            State::Skip => ("skip", "2"),
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
        let text = format!("{}{advice}", check.found).replace('\n', " ");
        writeln!(out, "  {:width$}  {}", check.check, printable(&text))?;
    }
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (failed, warned) = (count(State::Fail), count(State::Warn));
    writeln!(
        out,
        "{failed} failed, {warned} to look at, of {} checks.",
        checks.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_check_and_a_sum() {
        let checks = [
            Check::ok("kernel", "6.18.0"),
            Check::fail("disk log", "0 MiB\nfree").so("make \u{1b}room"),
            Check::skip("clock", "not told"),
        ];
        let drawn = |colour| {
            let mut out = Vec::new();
            show(&checks, colour, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let expected = "\
ok    kernel    6.18.0
fail  disk log  0 MiB free: make ?room
skip  clock     not told
1 failed, 0 to look at, of 3 checks.
";
        assert_eq!(drawn(false), expected);
        assert!(drawn(true).starts_with("\u{1b}[32mok  \u{1b}[0m  kernel"));
    }
}
