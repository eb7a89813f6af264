//! `couicctl drop` and `couicctl ignore`.

use std::io;

use clap::Args;
use couic_client::{ClientError, ListQuery};
use couic_common::{
    BatchJob, BatchRule, Cidr, Entry, EntryRequest, GuardRequest, PeerAction, Policy, counted,
};
use futures_util::TryStreamExt;
use serde_json::json;

use super::{Context, check, import};
use crate::{
    cli::{AddArgs, DeleteArgs, EntryCommand, Label, Lift, ListArgs, Override},
    duration::now,
    failure::{Failure, print_error, with_option},
    input::{Network, Networks},
    render, session,
};

pub(super) async fn run<F: Args + Override>(
    policy: Policy,
    command: EntryCommand<F>,
    cx: &mut Context,
) -> Result<(), Failure> {
    match command {
        EntryCommand::Add(args) => add_all(policy, &args, cx).await,
        EntryCommand::Delete(args) => delete(policy, args, cx).await,
        EntryCommand::List(args) => list(policy, args, cx).await,
        EntryCommand::Inspect { cidr } => {
            let entry = cx.client.entry(policy, cidr.cidr).await;
            let entry = entry.map_err(|e| cx.failed(e).or_refused_with(cidr.note.as_deref()))?;
            show(policy, &entry, cx.now(), cx)
        }
        EntryCommand::Import(args) => import::run(policy, &args, cx).await,
    }
}

fn show(policy: Policy, entry: &Entry, at: u64, cx: &mut Context) -> Result<(), Failure> {
    cx.output
        .table(entry, || render::entries(policy, [entry], at))
}

/// The request for one entry, with its expiration relative to `at` (Unix seconds).
pub(super) fn request<F: Override>(
    cidr: Cidr,
    label: &Label,
    force: &F,
    guard: &GuardRequest,
    at: u64,
) -> EntryRequest {
    let span = label.expiration.flatten();
    EntryRequest {
        cidr: cidr.to_string(),
        // For daemons that do not know `ttl`.
        expiration: span.map_or(0, |span| at + span.as_secs()),
        tag: label.tag.as_ref().map(ToString::to_string),
        metadata: None,
        force: is_forced(force),
        guard: Some(guard.clone()),
        ttl: span.map(|span| span.as_secs()),
    }
}

/// The guard rails to request: they protect the operator's SSH session, too.
pub(super) fn guard_of(force: &impl Override) -> GuardRequest {
    GuardRequest {
        protect: session::addresses(),
        lift: match force.lift() {
            Some(Lift::Some(rails)) => rails.clone(),
            _ => Vec::new(),
        },
    }
}

/// Whether every guard rail is overridden.
pub(super) fn is_forced(force: &impl Override) -> bool {
    force.lift() == Some(&Lift::All)
}

/// The request as a batch job, which updates an existing entry instead of failing.
pub(super) fn job(request: EntryRequest) -> BatchJob {
    let EntryRequest {
        cidr,
        expiration,
        tag,
        metadata,
        force,
        guard,
        ttl,
    } = request;
    BatchJob {
        action: PeerAction::Add,
        entry: BatchRule {
            cidr,
            expiration,
            tag,
            metadata,
            force,
            guard,
            ttl,
        },
    }
}

/// Adds one network after the other. A refusal does not keep the others from being added.
async fn add_all<F: Args + Override>(
    policy: Policy,
    args: &AddArgs<F>,
    cx: &mut Context,
) -> Result<(), Failure> {
    // Rendered with the time of the request, so that 2h is not shown as 1h 59m.
    let at = now();
    let networks = all(&args.cidrs);
    let (mut added, mut failures) = (Vec::new(), Vec::new());
    for Network { cidr, note } in &networks {
        match add(policy, args, *cidr, at, cx).await {
            Ok(entry) => added.push(entry),
            Err(failure) => {
                let goes_on = matches!(failure, Failure::Refused(_));
                failures.push(failure.or_refused_with(note.as_deref()));
                if !goes_on {
                    break;
                }
            }
        }
    }
    let at = at.saturating_add_signed(cx.client.clock_ahead());
    if let ([_], [entry]) = (&networks[..], &added[..]) {
        return show(policy, entry, at, cx);
    }
    if !added.is_empty() {
        cx.output
            .table(&added, || render::entries(policy, &added, at))?;
    }
    report(failures, cx)
}

fn all(cidrs: &[Networks]) -> Vec<&Network> {
    cidrs.iter().flat_map(|networks| &networks.0).collect()
}

/// Reports the failures of a command with several networks, after its output.
fn report(mut failures: Vec<Failure>, cx: &mut Context) -> Result<(), Failure> {
    let Some(last) = failures.pop() else {
        return Ok(());
    };
    cx.output.flush()?;
    for failure in &failures {
        print_error(&failure.text());
    }
    Err(last)
}

async fn add<F: Args + Override>(
    policy: Policy,
    args: &AddArgs<F>,
    cidr: Cidr,
    at: u64,
    cx: &Context,
) -> Result<Entry, Failure> {
    let guard = guard_of(&args.force);
    let request = request(cidr, &args.label, &args.force, &guard, at);
    if !args.renew {
        let added = cx.client.add(policy, &request).await;
        return added.map_err(|error| conflict(error, cx));
    }
    let outcome = cx.client.batch(policy, &[job(request)]).await;
    let outcome = outcome.map_err(|e| cx.failed(e))?;
    if let Some(failure) = outcome.failures.into_iter().next() {
        return Err(Failure::Refused(with_option(&failure.message)));
    }
    let entry = cx.client.entry(policy, cidr).await;
    entry.map_err(|e| cx.failed(e))
}

fn conflict(error: ClientError, cx: &Context) -> Failure {
    let exists = error.status() == Some(409);
    let remedy = exists.then_some("to change its tag or expiration, use --renew");
    cx.failed(error).or_refused_with(remedy)
}

/// Deletes one network after the other. A refusal does not keep the others from being deleted.
async fn delete_all(policy: Policy, cidrs: &[Networks], cx: &mut Context) -> Result<(), Failure> {
    let networks = all(cidrs);
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for Network { cidr, note } in &networks {
        match cx.client.delete(policy, *cidr).await {
            Ok(()) => deleted.push(json!({"policy": policy, "cidr": cidr, "deleted": true})),
            Err(error) => {
                let goes_on = error.status().is_some();
                let failure = cx.failed(error);
                failures.push(failure.or_refused_with(note.as_deref()));
                if !goes_on {
                    break;
                }
            }
        }
    }
    let lines = |out: &mut dyn io::Write| {
        let mut cidrs = deleted.iter().filter_map(|value| value["cidr"].as_str());
        cidrs.try_for_each(|cidr| writeln!(out, "{cidr} deleted from {policy}."))
    };
    match (&networks[..], &deleted[..]) {
        (_, []) => {}
        ([_], [only]) => cx.output.show(only, lines)?,
        _ => cx.output.show(&deleted, lines)?,
    }
    report(failures, cx)
}

async fn delete(policy: Policy, args: DeleteArgs, cx: &mut Context) -> Result<(), Failure> {
    if policy == Policy::Ignore {
        // Protection is not taken away from what a drop would then cut off.
        let force = is_forced(&args.force);
        cx.client = cx.client.guarded(guard_of(&args.force), force);
    }
    if !args.which.cidrs.is_empty() {
        return delete_all(policy, &args.which.cidrs, cx).await;
    }
    let pattern = args.which.tag.unwrap_or_default();
    let removed = cx.client.delete_by_tag(policy, &pattern).await;
    let removed = removed.map_err(|e| cx.failed(e))?;
    cx.output.show(&removed, |out| {
        let entries = counted(removed.removed, "entry", "entries");
        writeln!(out, "{entries} deleted from {policy}.")
    })
}

async fn list(policy: Policy, args: ListArgs, cx: &mut Context) -> Result<(), Failure> {
    if let Some(Network { cidr, .. }) = args.cidr {
        let rules = check::overlapping(cidr, &[policy], cx).await?.rules;
        let entries: Vec<Entry> = rules.into_iter().map(|rule| rule.entry).collect();
        return listed(policy, &entries, args.quiet, cx);
    }
    let query = ListQuery {
        tag: args.tag,
        ..ListQuery::default()
    };
    let stream = cx.client.stream_entries(policy, &query).await;
    let stream = stream.map_err(|e| cx.failed(e))?;
    if args.quiet && !cx.output.is_json() {
        // No columns to align, so no need to buffer.
        let mut entries = stream;
        while let Some(entry) = entries.try_next().await.map_err(|e| cx.failed(e))? {
            writeln!(cx.output.writer(), "{}", entry.cidr)?;
        }
        return Ok(());
    }
    let entries: Vec<Entry> = stream.try_collect().await.map_err(|e| cx.failed(e))?;
    listed(policy, &entries, args.quiet, cx)
}

fn listed(policy: Policy, entries: &[Entry], quiet: bool, cx: &mut Context) -> Result<(), Failure> {
    if quiet {
        let cidrs: Vec<Cidr> = entries.iter().map(|e| e.cidr).collect();
        return cx.output.show(&cidrs, |out| {
            cidrs.iter().try_for_each(|cidr| writeln!(out, "{cidr}"))
        });
    }
    let now = cx.now();
    cx.output
        .table(&entries, || render::entries(policy, entries, now))
}
