//! `couicctl export`, `diff` and `apply`: rules, sets and clients as a file declares them.
//!
//! Guarantees: what the file neither names nor owns is not touched, so that bans of other programs and peers stay; a
//! second `apply` changes nothing; what is wrong with the file, or in the way of a change, is said before anything is
//! changed; and if a step fails, it is said which steps are done and which are not.

mod apply;
mod compare;
mod entries;
mod observe;
mod plan;
mod read;
mod send;
mod show;
mod steps;
#[cfg(test)]
mod tests;
mod wanted;
mod write;

use couic_common::counted;

use super::Context;
use crate::{
    cli::{DiffArgs, StateExportArgs},
    failure::{Failure, print_warning},
};
use observe::Observed;

pub(super) use apply::run as apply;

/// Writes the state of the daemon as a file that `diff` and `apply` read.
pub(super) async fn export(args: &StateExportArgs, cx: &mut Context) -> Result<(), Failure> {
    if cx.output.is_json() {
        let text = "a state file is TOML: export has no --json";
        return Err(Failure::Usage(text.to_owned())
            .hint("couicctl drop export and ignore export print rules as JSON, one per line"));
    }
    let exported = observe::everything(args, cx).await?;
    write::file(&exported, cx.output.writer())?;
    Ok(())
}

/// Shows how the daemon differs from a file.
pub(super) async fn diff(args: &DiffArgs, cx: &mut Context) -> Result<(), Failure> {
    show(args, cx).await.map_err(trouble)
}

async fn show(args: &DiffArgs, cx: &mut Context) -> Result<(), Failure> {
    let Observed { own, plan } = planned(&args.file, cx).await?;
    for refused in apply::untouchable(&plan, &own) {
        print_warning(&format!("apply refuses {refused}"));
    }
    told(&plan, &args.file, cx)
}

/// Shows a plan. If it is not empty, that is the exit code.
fn told(plan: &plan::Plan, file: &std::path::Path, cx: &mut Context) -> Result<(), Failure> {
    cx.output.page()?;
    cx.output.show(plan, |out| {
        if plan.is_empty() {
            return writeln!(out, "{}", same(file));
        }
        plan.write(usize::MAX, out)?;
        writeln!(out, "{}.", plan.counts())
    })?;
    if plan.is_empty() {
        return Ok(());
    }
    cx.output.end_page()?;
    Err(Failure::Reported)
}

fn same(file: &std::path::Path) -> String {
    format!("All is as {} says.", file.display())
}

/// The plan for a file. Warns of rules in it that have expired.
async fn planned(file: &std::path::Path, cx: &mut Context) -> Result<Observed, Failure> {
    let wanted = read::file(file)?;
    let observed = observe::compare(wanted, cx).await?;
    if observed.plan.expired > 0 && !cx.output.is_json() {
        let rules = counted(observed.plan.expired, "rule", "rules");
        print_warning(&format!("{rules} of the file left out, expired meanwhile"));
    }
    Ok(observed)
}

/// As `diff` has it, exit code 1 is kept for "differs".
fn trouble(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(text) | Failure::Failed(text) => Failure::Usage(text),
        other => other,
    }
}
