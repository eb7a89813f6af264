//! `couicctl apply`: carries out a plan, step by step. The first step that fails is the last.

use std::collections::BTreeMap;

use couic_common::{
    BatchJob, BatchOutcome, BatchRule, ClientName, GuardRequest, PeerAction, Policy, SetBody,
    SetUpdate, Tag, UNTAGGED,
};
use serde::Serialize;

use super::{
    Observed,
    plan::{Action, ClientChange, Plan, RuleChange, SetChange, SetKind},
    planned, same,
    steps::{self, Step, Work},
    told, trouble,
};
use crate::{
    cli::ApplyArgs,
    commands::{
        Context, clients,
        entries::{guard_of, is_forced},
        interrupt::Interrupt,
        parts,
    },
    failure::{Failure, print_error, print_warning, with_option},
    input,
    token_file::TokenFile,
};

/// Differences that are shown before they are made, and failures.
const SHOWN: usize = 20;

/// Tokens of clients to create, each in its file beside the one that it is to become.
type TokenFiles = BTreeMap<ClientName, TokenFile>;

pub(in crate::commands) async fn run(args: &ApplyArgs, cx: &mut Context) -> Result<(), Failure> {
    let Observed { own, plan } =
        planned(&args.file, cx)
            .await
            .map_err(|failure| match args.plan {
                true => trouble(failure),
                false => failure,
            })?;
    let blocked = blocked(&plan, &own, args);
    if args.plan {
        let differs = told(&plan, &args.file, cx);
        return blocked.map_or(differs, Err);
    }
    if let Some(failure) = blocked {
        return Err(failure);
    }
    if plan.is_empty() {
        let document = Document::of(&plan, &[], &[]);
        return cx.output.show(&document, |out| {
            writeln!(out, "{} Nothing was changed.", same(&args.file))
        });
    }
    let files = token_files(&plan)?;
    if !cx.output.is_json() {
        plan.write(SHOWN, cx.output.writer())?;
        cx.output.flush()?;
    }
    carry_out(&plan, files, args, cx).await
}

/// What has to be mended before anything is changed.
fn blocked(plan: &Plan, own: &ClientName, args: &ApplyArgs) -> Option<Failure> {
    let mut lines = Vec::new();
    for change in &plan.clients {
        let name = &change.name;
        let line = change.new.as_ref().map_or(0, |new| new.line);
        let file = change.new.as_ref().and_then(|new| new.token_file.as_ref());
        if change.action() != Action::Add && (name == own || name.as_str() == "couicctl") {
            lines.push(format!("line {line}: clients.{name}: is the client that couicctl uses: a file does not change it"));
        } else if change.action() == Action::Change && !args.replace_clients {
            lines.push(format!(
                "line {line}: clients.{name}: limits and groups are not changed: it would be deleted and created again, and its token end: --replace-clients does so"
            ));
        }
        if change.new.is_some() && file.is_none() {
            lines.push(format!("line {line}: clients.{name}: it is to be created, and needs a token_file for its token"));
        }
    }
    if args.confirm.confirm_within.is_some() && !plan.clients.is_empty() {
        lines.push("clients cannot be undone: apply without --confirm-within, or take them out of the file for now".to_owned());
    }
    (!lines.is_empty()).then(|| {
        let text = format!(
            "{} cannot be applied, nothing was changed",
            args.file.display()
        );
        Failure::Usage([vec![text], lines].concat().join("\n  "))
    })
}

/// Proves that every token can be written before anything is changed.
fn token_files(plan: &Plan) -> Result<TokenFiles, Failure> {
    let mut files = TokenFiles::new();
    for ClientChange { name, new, .. } in &plan.clients {
        let Some(new) = new else { continue };
        let Some(path) = &new.token_file else {
            continue;
        };
        let file = TokenFile::replacing(path, new.owner.as_deref())?;
        files.insert(name.clone(), file);
    }
    Ok(files)
}

/// How a step ended.
struct Outcome {
    what: String,
    error: Option<Failure>,
}

async fn carry_out(
    plan: &Plan,
    mut files: TokenFiles,
    args: &ApplyArgs,
    cx: &mut Context,
) -> Result<(), Failure> {
    if let Some(within) = args.confirm.confirm_within {
        cx.client = cx.client.confirm_within(within.as_secs());
    }
    let mut interrupt = Interrupt::catch()?;
    let (mut done, mut left) = (Vec::new(), Vec::new());
    for Step { what, work } in steps::of(plan) {
        let has_failed = done
            .last()
            .is_some_and(|last: &Outcome| last.error.is_some());
        if has_failed || interrupt.is_caught() {
            left.push(what);
            continue;
        }
        let result = interrupt.after(async {
            match work {
                Work::Clients(all) => make_clients(&all, &mut files, cx).await,
                Work::DeleteClients(all) => delete_clients(&all, cx).await,
                Work::Rules(policy, all) => rules(policy, &all, args, cx).await,
                Work::Sets(policy, all) => sets(policy, &all, args, cx).await,
            }
        });
        let error = result.await.err();
        done.push(Outcome { what, error });
    }
    ended(plan, done, &left, args, cx)
}

/// Tells what is done and what is not.
fn ended(
    plan: &Plan,
    done: Vec<Outcome>,
    left: &[String],
    args: &ApplyArgs,
    cx: &mut Context,
) -> Result<(), Failure> {
    let document = Document::of(plan, &done, left);
    cx.output.show(&document, |out| {
        let finished = done.iter().filter(|one| one.error.is_none());
        finished
            .into_iter()
            .try_for_each(|one| writeln!(out, "done: {}", one.what))
    })?;
    cx.output.flush()?;
    confirmable(args, cx);
    let failed = done
        .into_iter()
        .find_map(|one| Some((one.what, one.error?)));
    if failed.is_none() && left.is_empty() {
        return Ok(());
    }
    if let Some((what, error)) = &failed {
        print_error(&format!(
            "failed: {what}\n  {}",
            error
                .text()
                .replace('\n', "\n  ")
                .replace("\n  hint: ", "\nhint: ")
        ));
    } else {
        print_error("interrupted");
    }
    for what in left {
        print_error(&format!("not done: {what}"));
    }
    Err(match failed {
        Some((_, Failure::Unreachable(_))) => {
            Failure::Unreachable(format!("{} is in force in part", args.file.display()))
        }
        _ => Failure::Failed(format!("{} is in force in part", args.file.display())),
    }
    .hint("once that is mended, apply it again: what is done already stays as it is"))
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'p> {
    /// Whether all is as the file says now.
    applied: bool,
    steps: Vec<Told<'p>>,
    #[serde(flatten)]
    plan: &'p Plan,
}

/// A step.
#[derive(Serialize)]
struct Told<'p> {
    what: &'p str,
    done: bool,
    error: Option<String>,
}

impl<'p> Document<'p> {
    fn of(plan: &'p Plan, done: &'p [Outcome], left: &'p [String]) -> Self {
        let ended = done.iter().map(|Outcome { what, error }| Told {
            what,
            done: error.is_none(),
            error: error.as_ref().map(Failure::text),
        });
        let left = left.iter().map(|what| Told {
            what,
            done: false,
            error: None,
        });
        let steps: Vec<Told<'p>> = ended.chain(left).collect();
        Self {
            applied: steps.iter().all(|step| step.done),
            steps,
            plan,
        }
    }
}

/// All changes of the command wait together: one word confirms them.
fn confirmable(args: &ApplyArgs, cx: &Context) {
    let Some(within) = args.confirm.confirm_within else {
        return;
    };
    let waiting = cx.client.to_confirm();
    if waiting.is_empty() {
        return;
    }
    let ids: Vec<String> = waiting.iter().map(|change| change.id.to_string()).collect();
    print_warning(&format!(
        "this is undone in {} s unless you confirm it\nhint: couicctl confirm confirms all of it: {}",
        within.as_secs(),
        ids.join(", ")
    ));
}

async fn make_clients(
    all: &[&ClientChange],
    files: &mut TokenFiles,
    cx: &Context,
) -> Result<(), Failure> {
    for ClientChange { name, old, new } in all {
        let Some(new) = new else { continue };
        if old.is_some() {
            cx.client
                .delete_client(name)
                .await
                .map_err(|e| cx.failed(e))?;
        }
        let file = files.remove(name);
        let made = clients::create(name, new.group, new.limits.as_ref(), file, cx).await;
        made.map_err(|failure| match old {
            Some(_) => failure.with(&format!("client {name} is deleted, and NOT created again")),
            None => failure,
        })?;
    }
    Ok(())
}

async fn delete_clients(all: &[&ClientChange], cx: &Context) -> Result<(), Failure> {
    for change in all {
        cx.client
            .delete_client(&change.name)
            .await
            .map_err(|e| cx.failed(e))?;
    }
    Ok(())
}

async fn rules(
    policy: Policy,
    all: &[&RuleChange],
    args: &ApplyArgs,
    cx: &Context,
) -> Result<(), Failure> {
    let (guard, force) = (guard_of(&args.force), is_forced(&args.force));
    let jobs = all
        .iter()
        .map(|change| job(change, &guard, force))
        .collect();
    let outcome = parts::send(policy, jobs, args.confirm.confirm_within.is_some(), cx).await?;
    refusals(&outcome)
}

pub(super) fn job(change: &RuleChange, guard: &GuardRequest, force: bool) -> BatchJob {
    let tag = change.tag.as_ref().map(Tag::to_string);
    let new = change.new.as_ref();
    let reason = new.and_then(|claim| claim.reason.as_ref());
    let is_removal = new.is_none();
    BatchJob {
        action: if is_removal {
            PeerAction::Remove
        } else {
            PeerAction::Add
        },
        entry: BatchRule {
            cidr: change.cidr.to_string(),
            expiration: new.map_or(0, |claim| claim.expiration),
            // Without a tag, a removal would release the claims of other tags as well.
            tag: tag.or_else(|| is_removal.then(|| UNTAGGED.to_owned())),
            metadata: reason.map(|reason| input::given(reason.to_string())),
            force,
            guard: Some(guard.clone()),
            ttl: None,
            longer: false,
        },
    }
}

fn refusals(outcome: &BatchOutcome) -> Result<(), Failure> {
    if outcome.failed == 0 {
        return Ok(());
    }
    let BatchOutcome {
        added,
        updated,
        removed,
        released,
        failed,
        ..
    } = outcome;
    let mut text = format!(
        "{failed} refused; {added} added, {updated} changed, {} deleted",
        removed + released
    );
    for failure in outcome.failures.iter().take(SHOWN) {
        let cidr = failure.cidr.as_deref().unwrap_or("?");
        text += &format!("\n{cidr}: {}", with_option(&failure.message));
    }
    let more = failed.saturating_sub(outcome.failures.len().min(SHOWN) as u64);
    if more > 0 {
        text += &format!("\nand {more} more");
    }
    Err(Failure::Refused(text))
}

/// Writes the files, then puts them in force together.
async fn sets(
    policy: Policy,
    all: &[&SetChange],
    args: &ApplyArgs,
    cx: &Context,
) -> Result<(), Failure> {
    for (index, change) in all.iter().enumerate() {
        let written = write_set(policy, change, args, cx).await;
        written.map_err(|failure| {
            let names = all[..index].iter().map(|set| set.name.as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            let before = if names.is_empty() { "none".to_owned() } else { names };
            failure.with(&format!("of set {policy}/{}; set files written before: {before}; none of them is in force yet", change.name))
        })?;
    }
    let status = cx.client.reload_sets().await.map_err(|e| {
        cx.failed(e)
            .with("the set files are written, and not in force")
    })?;
    status.notes.iter().for_each(|note| print_warning(note));
    if status.refused.is_empty() {
        return Ok(());
    }
    let mut text = format!(
        "{} entries are NOT in force, all others are:",
        status.refused.len()
    );
    for entry in status.refused.iter().take(SHOWN) {
        text += &format!(
            "\nsets/{}/{}: {}: guard rail {}: {}",
            entry.policy, entry.file, entry.cidr, entry.rail, entry.message
        );
    }
    Err(Failure::Refused(text))
}

async fn write_set(
    policy: Policy,
    change: &SetChange,
    args: &ApplyArgs,
    cx: &Context,
) -> Result<(), Failure> {
    let (guard, force) = (Some(guard_of(&args.force)), is_forced(&args.force));
    let texts = |entries: &[couic_common::Cidr]| entries.iter().map(ToString::to_string).collect();
    let name = &change.name;
    let written = match &change.kind {
        SetKind::Add { entries } => {
            let body = SetBody {
                name: name.to_string(),
                entries: texts(entries),
                force,
                guard,
            };
            cx.client.create_set(policy, &body).await
        }
        SetKind::Change { entries, .. } => {
            let body = SetUpdate {
                name: None,
                entries: texts(entries),
                force,
                guard,
            };
            cx.client.replace_set(policy, name, &body).await
        }
        SetKind::Delete { .. } => cx.client.delete_set(policy, name, false).await.map(drop),
        SetKind::Reload { .. } => Ok(()),
    };
    written.map_err(|e| cx.failed(e))
}
