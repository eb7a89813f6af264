//! `couicctl apply`: carries out a plan, step by step. The first step that fails is the last.

use std::collections::BTreeMap;

use couic_common::ClientName;
use serde::Serialize;

use super::{
    Observed,
    plan::{Action, ClientChange, Plan},
    planned, same, send,
    steps::{self, Step},
    told, trouble,
};
use crate::{
    cli::ApplyArgs,
    commands::{Context, interrupt::Interrupt},
    failure::{Failure, print_error, print_warning},
    token_file::TokenFile,
};

/// Differences that are shown before they are made, and failures.
pub(super) const SHOWN: usize = 20;

/// Tokens of clients to create, each in its file beside the one that it is to become.
pub(super) type TokenFiles = BTreeMap<ClientName, TokenFile>;

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
    let mut lines = untouchable(plan, own);
    for change in &plan.clients {
        let name = &change.name;
        let line = change.new.as_ref().map_or(0, |new| new.line);
        let file = change.new.as_ref().and_then(|new| new.token_file.as_ref());
        if !is_untouchable(change, own)
            && change.action() == Action::Change
            && !args.replace_clients
        {
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

/// A sentence for each client that no file changes: without it, couicctl could not go on.
pub(super) fn untouchable(plan: &Plan, own: &ClientName) -> Vec<String> {
    let clients = plan.clients.iter();
    let told = clients.filter(|change| is_untouchable(change, own)).map(|change| {
        let line = change.new.as_ref().map_or(0, |new| new.line);
        let name = &change.name;
        format!("line {line}: clients.{name}: is the client that couicctl uses: a file does not change it")
    });
    told.collect()
}

fn is_untouchable(change: &ClientChange, own: &ClientName) -> bool {
    change.action() != Action::Add && (change.name == *own || change.name.as_str() == "couicctl")
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
        let result = interrupt
            .after(send::work(&work, &mut files, args, cx))
            .await;
        let error = result.err();
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
