//! `couicctl setup`: from an installed package to a filtering daemon, by questions or by flags.
//!
//! Four steps, each in a file: [`host`] looks at the machine, [`ask`] completes the flags by questions, [`plan`] decides
//! what is to be done, [`apply`] does it. The plan is a pure function and is shown before anything changes.
//!
//! Guarantees: a configuration that the daemon refuses never takes the place of the old one. What is in place already is
//! left alone, so that a second run changes nothing. The operator's addresses are protected before the filter is attached.

mod apply;
mod ask;
mod edit;
mod host;
mod plan;
mod step;

use std::io::{self, IsTerminal};

use nix::unistd::geteuid;
use serde_json::json;

use crate::{
    cli::{SetupArgs, When},
    failure::Failure,
    output::Output,
};

const NEXT: &str = "
Next:
  couicctl health                          what is filtered, and what needs attention
  couicctl ban 203.0.113.9 -t test -e 10m  drop a source for ten minutes
  couicctl why 203.0.113.9                 the verdict for an address, and the rules behind it
";

/// What the operator wants, from flags and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    interfaces: Vec<String>,
    protect: Vec<couic_common::Cidr>,
    fail2ban: When,
    report: Option<String>,
    monitoring: bool,
    start: bool,
}

/// Runs the command.
pub(crate) async fn run(args: SetupArgs, mut output: Output) -> Result<(), Failure> {
    if !geteuid().is_root() && !args.dry_run {
        return Err(Failure::Failed(
            "setup writes to /etc and starts services: run it as root (sudo couicctl setup)".into(),
        ));
    }
    let asks = !args.yes && !output.is_json() && io::stdin().is_terminal();
    if !asks && !args.yes && !args.dry_run {
        return Err(Failure::Usage(
            "there is no terminal to ask questions on: pass --yes to take what is found, or --dry-run to see it".into(),
        ));
    }
    let mut host = host::look(&args.daemon_config);
    host.try_tokens().await;
    let (dry_run, mut wanted) = (args.dry_run, wanted(args));
    if asks {
        ask::complete(&mut wanted, &host)?;
    }
    let plan = plan::plan(&wanted, &host)?;
    let lines: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    if dry_run {
        return output.show(
            &json!({"applied": false, "steps": lines, "notes": plan.notes}),
            |out| print(out, "Would be done:", &lines, &plan.notes),
        );
    }
    if asks {
        print(&mut io::stdout(), "To be done:", &lines, &plan.notes)?;
        if !plan.steps.is_empty() && !ask::yes("Go on?", true)? {
            return Err(Failure::Failed("nothing was changed".into()));
        }
    }
    apply::all(&plan.steps, &host.daemon, output.is_json()).await?;
    let health = host.daemon.health().await;
    let value = json!({"applied": true, "steps": lines, "notes": plan.notes});
    output.show(&value, |out| {
        if plan.steps.is_empty() {
            writeln!(out, "Everything was in place, nothing was changed.")?;
        }
        let mut notes = plan.notes.iter().filter(|_| !asks);
        notes.try_for_each(|note| writeln!(out, "Note: {note}"))?;
        health.map_or(Ok(()), |health| writeln!(out, "{health}"))?;
        out.write_all(NEXT.as_bytes())
    })?;
    output.finish()
}

fn wanted(args: SetupArgs) -> Wanted {
    Wanted {
        interfaces: args.interfaces,
        protect: args
            .protect
            .into_iter()
            .map(|network| network.cidr)
            .collect(),
        fail2ban: args.fail2ban,
        report: args.report,
        monitoring: args.monitoring,
        start: !args.no_start,
    }
}

fn print(
    out: &mut dyn io::Write,
    title: &str,
    lines: &[String],
    notes: &[String],
) -> io::Result<()> {
    if lines.is_empty() {
        writeln!(out, "Nothing is to be done: everything is in place.")?;
    } else {
        writeln!(out, "{title}")?;
    }
    for line in lines {
        writeln!(out, "  - {line}")?;
    }
    notes
        .iter()
        .try_for_each(|note| writeln!(out, "Note: {note}"))
}
