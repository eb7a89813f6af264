//! `couicctl drop` and `couicctl ignore`.

use std::io;

use clap::Args;
use couic_client::{ClientError, ListQuery, Release};
use couic_common::{
    BatchJob, BatchRule, Cidr, Entry, EntryRequest, GuardRequest, Lookup, PeerAction, Policy,
    RuleOwner, Tag, TagError, counted,
};
use futures_util::TryStreamExt;
use serde_json::json;

use super::{Context, import};
use crate::{
    cli::{AddArgs, DeleteArgs, EntryCommand, Label, ListArgs, Override, Which},
    duration::now,
    failure::{Failure, printable, with_option},
    input::Network,
    render, session,
};

pub(super) async fn run<F: Args + Override>(
    policy: Policy,
    command: EntryCommand<F>,
    cx: &mut Context,
) -> Result<(), Failure> {
    match command {
        EntryCommand::Add(args) => {
            // Rendered with the time of the request, so that 2h is not shown as 1h 59m.
            let at = now();
            let entry = add(policy, &args, at, cx).await;
            let entry = entry.map_err(|e| e.or_refused_with(args.cidr.note.as_deref()))?;
            show(policy, &entry, at, cx)?;
            let asked = expiration(&args.label, at);
            if let Some(lookup) = lookup(args.cidr.cidr, cx).await {
                let rule = (policy, entry.cidr, asked);
                render::after_add(rule, &lookup, at, cx.output.writer())?;
            }
            Ok(())
        }
        EntryCommand::Delete(args) => delete(policy, args, cx).await,
        EntryCommand::List(args) => list(policy, args, cx).await,
        EntryCommand::Inspect { cidr } => {
            let entry = cx.client.entry_with_owners(policy, cidr.cidr).await;
            let entry = entry.map_err(|e| cx.failed(e).or_refused_with(cidr.note.as_deref()))?;
            show(policy, &entry, now(), cx)?;
            if entry.owners.len() > 1 && !cx.output.is_json() {
                render::claims(&entry.owners, now()).write(cx.output.writer())?;
            }
            Ok(())
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
    guard: Option<&GuardRequest>,
    at: u64,
) -> EntryRequest {
    EntryRequest {
        cidr: cidr.to_string(),
        expiration: expiration(label, at),
        tag: label.tag.as_ref().map(ToString::to_string),
        metadata: None,
        force: force.guard() == Some(true),
        guard: guard.cloned(),
    }
}

fn expiration(label: &Label, at: u64) -> u64 {
    label.expiration.map_or(0, |span| at + span.as_secs())
}

/// What happens to the address, or the first of the network, for a remark about it: none with `--json`, nor if that
/// cannot be read. The change is made by then.
async fn lookup(cidr: Cidr, cx: &Context) -> Option<Lookup> {
    if cx.output.is_json() {
        return None;
    }
    cx.client.lookup(cidr.addr()).await.ok()
}

/// The guard rails to request, if the policy has any: they protect the operator's SSH session.
pub(super) fn guard_of<F: Override>(force: &F) -> Option<GuardRequest> {
    force.guard().map(|_| GuardRequest {
        protect: session::addresses(),
    })
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
        },
    }
}

async fn add<F: Args + Override>(
    policy: Policy,
    args: &AddArgs<F>,
    at: u64,
    cx: &Context,
) -> Result<Entry, Failure> {
    let guard = guard_of(&args.force);
    let cidr = args.cidr.cidr;
    let request = request(cidr, &args.label, &args.force, guard.as_ref(), at);
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
    let remedy =
        exists.then_some("to add a claim of your own, or to change its expiration, use --renew");
    cx.failed(error).or_refused_with(remedy)
}

async fn delete(policy: Policy, args: DeleteArgs, cx: &mut Context) -> Result<(), Failure> {
    let DeleteArgs {
        which: Which { cidr, tag },
        all_owners,
        if_exists,
        confirm: _,
    } = args;
    let which = Release { tag, all_owners };
    if let Some(network) = cidr {
        return delete_one(policy, network, which, if_exists, cx).await;
    }
    let removed = cx.client.release_by_tag(policy, &which).await;
    let removed = removed.map_err(|e| cx.failed(e))?;
    cx.output.show(&removed, |out| {
        let entries = counted(removed.removed, "entry", "entries");
        writeln!(out, "{entries} deleted from {policy}.")?;
        if removed.released > 0 {
            let entries = counted(removed.released, "entry", "entries");
            writeln!(
                out,
                "{entries} released that others hold: still in {policy}."
            )?;
        }
        Ok(())
    })
}

async fn delete_one(
    policy: Policy,
    Network { cidr, note }: Network,
    which: Release,
    if_exists: bool,
    cx: &mut Context,
) -> Result<(), Failure> {
    one_tag(which.tag.as_deref())?;
    let (deleted, text) = match cx.client.release(policy, cidr, &which).await {
        Ok(left) if left.is_empty() => (true, format!("{cidr} deleted from {policy}.")),
        Ok(left) => {
            let owners = RuleOwner::list(&left, now());
            (
                false,
                format!("{cidr} released, and still in {policy}: held by {owners}."),
            )
        }
        Err(ClientError::Refused { status: 404, error }) if if_exists => {
            (false, format!("Nothing to delete: {}.", error.message))
        }
        Err(error) => return Err(cx.failed(error).or_refused_with(note.as_deref())),
    };
    let value = json!({"policy": policy, "cidr": cidr, "deleted": deleted});
    cx.output
        .show(&value, |out| writeln!(out, "{}", printable(&text)))?;
    if let Some(lookup) = lookup(cidr, cx).await {
        render::after_delete((policy, cidr), &lookup, cx.output.writer())?;
    }
    Ok(())
}

/// With a CIDR, the tag names one claim.
fn one_tag(tag: Option<&str>) -> Result<(), Failure> {
    match tag.map(Tag::parse) {
        None | Some(Ok(_) | Err(TagError::Reserved)) => Ok(()),
        Some(Err(error)) => Err(Failure::Usage(format!(
            "with a CIDR, -t is one tag, or untagged: {error}"
        ))),
    }
}

async fn list(policy: Policy, args: ListArgs, cx: &mut Context) -> Result<(), Failure> {
    let query = ListQuery {
        tag: args.tag,
        owners: !args.quiet,
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
    if args.quiet {
        let cidrs: Vec<Cidr> = entries.iter().map(|e| e.cidr).collect();
        return cx.output.show(&cidrs, |_| Ok::<(), io::Error>(()));
    }
    cx.output
        .table(&entries, || render::entries(policy, &entries, now()))
}
