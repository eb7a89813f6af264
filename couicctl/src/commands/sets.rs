//! `couicctl sets`.

use std::collections::BTreeSet;

use couic_common::{Cidr, GuardRequest, Policy, SetBody, SetUpdate, counted};
use serde_json::json;

use super::Context;
use crate::{
    asn,
    cli::{SetArg, SetSource, SetsCommand},
    failure::{Failure, print_error},
    input, render, session,
};

pub(super) async fn run(command: SetsCommand, cx: &mut Context) -> Result<(), Failure> {
    match command {
        SetsCommand::List { policy } => {
            let sets = cx.client.sets(policy).await.map_err(|e| cx.failed(e))?;
            cx.output.table(&sets, || render::sets(policy, &sets))
        }
        SetsCommand::Inspect { set, quiet } => inspect(&set, quiet, cx).await,
        SetsCommand::Create {
            set, source, force, ..
        } => {
            let entries = collect(&set, source, cx).await?;
            let body = SetBody {
                name: set.name.to_string(),
                entries,
                force: force.force,
                guard: guard_of(set.policy),
            };
            let made = cx.client.create_set(set.policy, &body).await;
            made.map_err(|e| cx.failed(e))?;
            written(&set, body.entries.len(), cx)
        }
        SetsCommand::Update {
            set, source, force, ..
        } => {
            let body = SetUpdate {
                name: Some(set.name.to_string()),
                entries: collect(&set, source, cx).await?,
                force: force.force,
                guard: guard_of(set.policy),
            };
            let replaced = cx.client.replace_set(set.policy, &set.name, &body).await;
            replaced.map_err(|e| cx.failed(e))?;
            written(&set, body.entries.len(), cx)
        }
        SetsCommand::Delete { set, .. } => {
            let SetArg { policy, name } = set;
            let deleted = cx.client.delete_set(policy, &name).await;
            let deleted = deleted.map_err(|e| cx.failed(e))?;
            cx.output.show(&deleted, |out| {
                writeln!(
                    out,
                    "Set {policy}/{name} deleted. Its rules stay until the next couicctl sets reload."
                )
            })
        }
        SetsCommand::Reload { .. } => {
            let status = cx.client.reload_sets().await.map_err(|e| cx.failed(e))?;
            for problem in &status.skipped {
                print_error(&problem.message);
            }
            cx.output.show(&status, |out| {
                writeln!(out, "The set files have been applied to the rules.")
            })
        }
    }
}

async fn inspect(set: &SetArg, quiet: bool, cx: &mut Context) -> Result<(), Failure> {
    let body = cx.client.set(set.policy, &set.name).await;
    let body = body.map_err(|e| cx.failed(e))?;
    if !quiet {
        return cx.output.table(&body, || render::set(set.policy, &body));
    }
    cx.output.show(&body.entries, |out| {
        body.entries
            .iter()
            .try_for_each(|entry| writeln!(out, "{}", crate::failure::printable(entry)))
    })
}

/// All sources combined, sorted and without duplicates. An empty result is an error: it indicates a broken pipeline.
async fn collect(set: &SetArg, source: SetSource, cx: &Context) -> Result<Vec<String>, Failure> {
    let SetArg { policy, name } = set;
    let hint = format!("to delete the set: couicctl sets delete {policy} {name}");
    let networks = source.cidrs.into_iter().flat_map(|networks| networks.0);
    let mut entries: BTreeSet<Cidr> = networks.map(|network| network.cidr).collect();
    if let Some(path) = &source.from_file {
        let read = input::read(path, &source.field).map_err(|failure| failure.with(&hint))?;
        entries.extend(read.into_iter().map(|network| network.cidr));
    }
    if let Some(asn) = source.from_asn {
        entries.extend(asn::prefixes(&cx.asn_url, asn).await?);
    }
    if entries.is_empty() {
        let nothing = Failure::Usage("the input contains no CIDR, nothing was changed".to_owned());
        return Err(nothing.with(&hint));
    }
    Ok(entries.iter().map(ToString::to_string).collect())
}

/// Sets of policy drop ban like entries, so the guard rails apply.
fn guard_of(policy: Policy) -> Option<GuardRequest> {
    (policy == Policy::Drop).then(|| GuardRequest {
        protect: session::addresses(),
    })
}

fn written(set: &SetArg, count: usize, cx: &mut Context) -> Result<(), Failure> {
    let SetArg { policy, name } = set;
    let value =
        json!({"policy": policy, "name": name, "entry_count": count, "reload_required": true});
    cx.output.show(&value, |out| {
        let entries = counted(count as u64, "entry", "entries");
        writeln!(
            out,
            "Set {policy}/{name} written, {entries}. Rules change at the next couicctl sets reload."
        )
    })
}
