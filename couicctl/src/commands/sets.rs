//! `couicctl sets`.

use std::collections::BTreeSet;

use couic_common::Cidr;
use serde_json::json;

use super::Context;
use crate::{
    asn,
    cli::{SetArg, SetSource, SetsCommand},
    failure::Failure,
    input, render,
};

pub(super) async fn run(command: SetsCommand, cx: &mut Context) -> Result<(), Failure> {
    match command {
        SetsCommand::List { policy } => {
            let sets = cx.client.sets(policy).await.map_err(|e| cx.failed(e))?;
            cx.output.table(&sets, || render::sets(policy, &sets))
        }
        SetsCommand::Inspect { set, quiet } => inspect(&set, quiet, cx).await,
        SetsCommand::Create { set, source } => {
            let entries = collect(&set, source, cx).await?;
            let made = cx.client.create_set(set.policy, &set.name, &entries).await;
            made.map_err(|e| cx.failed(e))?;
            written(&set, &entries, cx)
        }
        SetsCommand::Update { set, source } => {
            let entries = collect(&set, source, cx).await?;
            let replaced = cx.client.replace_set(set.policy, &set.name, &entries).await;
            replaced.map_err(|e| cx.failed(e))?;
            written(&set, &entries, cx)
        }
        SetsCommand::Delete { set } => {
            let SetArg { policy, name } = set;
            let deleted = cx.client.delete_set(policy, &name).await;
            let deleted = deleted.map_err(|e| cx.failed(e))?;
            cx.output.show(&deleted, |out| {
                writeln!(
                    out,
                    "Set {policy}/{name} is deleted. Its rules go at the next couicctl sets reload."
                )
            })
        }
        SetsCommand::Reload => {
            let status = cx.client.reload_sets().await.map_err(|e| cx.failed(e))?;
            cx.output.show(&status, |out| {
                writeln!(out, "The rules are what the set files say.")
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

/// All sources together, ordered, each CIDR once. Nothing at all is refused: it is the sign of a broken pipeline.
async fn collect(set: &SetArg, source: SetSource, cx: &Context) -> Result<Vec<Cidr>, Failure> {
    let mut entries: BTreeSet<Cidr> = source.cidrs.into_iter().collect();
    if let Some(path) = &source.from_file {
        entries.extend(input::read(path)?);
    }
    if let Some(asn) = source.from_asn {
        entries.extend(asn::prefixes(&cx.asn_url, asn).await?);
    }
    if entries.is_empty() {
        let SetArg { policy, name } = set;
        return Err(Failure::Usage(format!(
            "there is no CIDR in the input, nothing was changed\n  to get rid of a set: couicctl sets delete {policy} {name}"
        )));
    }
    Ok(entries.into_iter().collect())
}

fn written(set: &SetArg, entries: &[Cidr], cx: &mut Context) -> Result<(), Failure> {
    let SetArg { policy, name } = set;
    let count = entries.len();
    let value =
        json!({"policy": policy, "name": name, "entry_count": count, "reload_required": true});
    cx.output.show(&value, |out| {
        let noun = if count == 1 { "entry" } else { "entries" };
        writeln!(out, "Set {policy}/{name} is written, {count} {noun}. Its rules change at the next couicctl sets reload.")
    })
}
