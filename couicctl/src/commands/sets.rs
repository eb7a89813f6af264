//! `couicctl sets`.

use std::collections::BTreeSet;

use couic_common::{Cidr, ReloadStatus, SetBody, SetUpdate, counted};
use serde_json::json;

use super::{
    Context,
    entries::{guard_of, is_forced},
};
use crate::{
    asn,
    cli::{SetArg, SetSource, SetsCommand},
    failure::{Failure, print_error},
    input, render,
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
                force: is_forced(&force),
                guard: Some(guard_of(&force)),
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
                force: is_forced(&force),
                guard: Some(guard_of(&force)),
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
        SetsCommand::Reload { .. } => reload(cx).await,
    }
}

/// How many refused entries are shown.
const SHOWN: usize = 20;

async fn reload(cx: &mut Context) -> Result<(), Failure> {
    let status = cx.client.reload_sets().await.map_err(|e| cx.failed(e))?;
    for problem in &status.skipped {
        print_error(&problem.message);
    }
    cx.output.show(&status, |out| {
        writeln!(out, "The set files have been applied to the rules.")
    })?;
    status.notes.iter().for_each(|note| print_error(note));
    if status.refused.is_empty() {
        return Ok(());
    }
    cx.output.flush()?;
    print_error(&refused(&status));
    Err(Failure::Reported)
}

fn refused(status: &ReloadStatus) -> String {
    let entries = counted(status.refused.len() as u64, "entry is", "entries are");
    let mut text = format!("{entries} NOT in force, all others are:");
    for entry in status.refused.iter().take(SHOWN) {
        let (policy, file, cidr, rail) = (entry.policy, &entry.file, entry.cidr, entry.rail);
        text += &format!(
            "\n  sets/{policy}/{file}: {cidr}: guard rail {rail}: {}",
            entry.message
        );
    }
    let more = status.refused.len().saturating_sub(SHOWN);
    if more > 0 {
        text += &format!("\n  and {more} more");
    }
    text + "\n  take them out of the files, or name the guard rail in [guard] off and restart couic"
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
